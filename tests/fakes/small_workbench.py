"""A small MCP server in this process: tools that read, write, spend and destroy."""

from typing import Any

import mcp_types as types
from mcp.server import MCPServer

READS = types.ToolAnnotations(read_only_hint=True)
WRITES = types.ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
DESTROYS = types.ToolAnnotations(destructive_hint=True)
ROWS = [
    {"run_config": name, "mean": mean, "n": 120, "low": mean - 0.08, "high": mean + 0.07}
    for name, mean in (("base", 0.71), ("shorter", 0.84))
]
ITEMS = [
    {"item": f"i{number}", "input": f"question {number}", "output": "Sure."} for number in (1, 2)
]
DRAFT = {"id": "d1", "name": "Polite", "kind": "tone", "clauses": [
    {"id": "c1", "text": "Greet first.", "by": "person", "is_assumed": False}]}  # fmt: skip


class SmallWorkbench:
    """The server, and what was done through it.

    Attributes:
        server: The server.
        scores: What may be said of each score.
        labels: The labels that were saved.
        steps: The arguments of `build_spec`, call by call.
        wiped: How often everything was wiped.
    """

    def __init__(self) -> None:
        self.server = MCPServer("small")
        self.scores = {"right": ["pass", "fail", "both"]}
        self.labels: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.wiped = 0
        self._add_tools()

    def _add_tools(self) -> None:
        tool = self.server.tool

        @tool(annotations=READS)
        def look(place: str) -> str:
            """Look at a place."""
            return f"{place} is empty\nand dark"

        @tool(annotations=READS)
        def show_results(project: str, eval: str = "", detail: str = "") -> dict[str, Any]:
            """See the scores of evals."""
            return {"eval": eval, "rows": ROWS, "curve": [0.5, 0.7, 0.9]}

        @tool(annotations=DESTROYS)
        def wipe() -> str:
            """Wipe everything."""
            self.wiped += 1
            return "wiped"

        @tool(annotations=WRITES)
        def draw_items_to_label(project: str, eval: str, rater: str = "") -> dict[str, Any]:
            """Pick the next items."""
            return {"items": ITEMS, "scores": self.scores}

        @tool(annotations=WRITES)
        def label_items(
            project: str, eval: str, labels: list[dict[str, Any]], rater: str
        ) -> dict[str, Any]:
            """Save the grades that a person gave."""
            self.labels += labels
            return {"saved": len(labels)}

        @tool(annotations=WRITES)
        def build_spec(
            project: str,
            wish: str | None = None,
            session: str | None = None,
            answers: list[dict[str, Any]] | None = None,
            edits: list[dict[str, Any]] | None = None,
            save: bool = False,
        ) -> dict[str, Any]:
            """Write specs of what a good output is."""
            self.steps.append({"wish": wish, "answers": answers, "edits": edits, "save": save})
            question = {"id": "q1", "question": "How short?", "options": ["50 words", "a line"],
                        "output": ""}  # fmt: skip
            edit = {"id": "x1", "target": "c1", "old": "Greet.", "new": "Greet first.",
                    "reason": "clearer", "state": "made"}  # fmt: skip
            return {
                "session": "s1",
                "specs": [DRAFT],
                "question": question if wish else None,
                "edits": [edit] if answers else [],
                "saved": save,
            }
