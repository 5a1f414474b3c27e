"""Judges, editors and outputs whose truth is known: an output says which clauses it breaks."""

import json
import random
import re
from collections.abc import Collection
from dataclasses import dataclass

from data_writer import DataWriter
from kiln_mcp.llm import ModelRequest

_BROKEN = re.compile(r"\[breaks:([^\]]*)\]")
_CLAUSE = re.compile(r"^- (c\d+): ", re.MULTILINE)


def broken_in(text: str) -> set[str]:
    """Return the clauses that an output really breaks."""
    match = _BROKEN.search(text)
    return set(match[1].split()) if match else set()


def output_text(name: str, broken: Collection[str]) -> str:
    """Return an output that breaks some clauses."""
    return f"answer {name} [breaks:{' '.join(sorted(broken))}]"


@dataclass(frozen=True)
class World:
    """How often judges and editors err.

    Attributes:
        error: Of a judge, on one clause of one output, in either direction.
        success: How often an edit breaks its clause.
        side_effect: How often it breaks another one.
        flawed: How often an output of the task breaks a clause.
        disputed: How often a judge calls a clause broken that an edit made borderline.
    """

    error: float = 0.1
    success: float = 0.8
    side_effect: float = 0.1
    flawed: float = 0.0
    disputed: float = 0.5


class ClauseWorld(DataWriter):
    """Answers as the task, the editor and the judges of a world."""

    def __init__(self, world: World, seed: int = 0) -> None:
        super().__init__()
        self.world = world
        self.chooser = random.Random(seed)

    def __call__(self, request: ModelRequest) -> str:
        """Answer a request."""
        schema = json.dumps(dict(request.schema or {}))
        text = request.messages[-1].content
        if '"verdicts"' in schema:
            self.requests.append(request)
            return json.dumps({"verdicts": self._verdicts(text)})
        if '"output"' in schema:
            self.requests.append(request)
            return json.dumps({"output": self._edit(text)})
        if '"inputs"' in schema or '"topics"' in schema:
            return super().__call__(request)
        self.requests.append(request)
        clauses = ["c1", "c2"]
        broken = [clause for clause in clauses if self.chooser.random() < self.world.flawed]
        return output_text(str(len(self.requests)), broken)

    def _verdicts(self, text: str) -> list[dict[str, object]]:
        output = text[text.index("<task-output>") :]
        broken, disputed = broken_in(output), set(re.findall(r"\[disputed:(c\d+)\]", output))
        verdicts: list[dict[str, object]] = []
        for clause in _CLAUSE.findall(text):
            error = self.world.disputed if clause in disputed else self.world.error
            is_wrong = self.chooser.random() < error
            meets = (clause in broken) == is_wrong
            verdicts.append({"clause": clause, "reason": "I looked.", "meets": meets})
        return verdicts

    def _edit(self, text: str) -> str:
        clauses = dict(re.findall(r"^- (c\d+): (.*)$", text, re.MULTILINE))
        wanted = text[text.index("<clause>") + 8 : text.index("</clause>")].strip()
        (clause,) = [name for name, words in clauses.items() if words == wanted]
        others = [name for name in clauses if name != clause]
        broken = {name for name in others if self.chooser.random() < self.world.side_effect}
        name = f"edited {len(self.requests)}"
        if "<aim>borderline" in text:
            return f"{output_text(name, broken)} [disputed:{clause}]"
        if self.chooser.random() < self.world.success:
            broken.add(clause)
        return output_text(name, broken)
