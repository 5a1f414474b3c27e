"""Specs built in the chat: questions one at a time, and edits side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from pydantic import JsonValue
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from agent.commands.arguments import read_arguments
from agent.fences import printable
from storage.errors import Refusal

if TYPE_CHECKING:
    from agent.session import Session

Part = Mapping[str, JsonValue]

BUILD: Final = "build_spec"
_TAKE: Final = "take"
_RESTORE: Final = "restore"
_CHOICES: Final = {"s": "save", "e": "edit", "c": "check with the model", "q": "quit"}


@dataclass(slots=True)
class _Building:
    """One session of `build_spec`.

    Attributes:
        session: The chat's session.
        project: The project.
        report: What the last step answered.
        seen_edits: The edits that were decided.
    """

    session: "Session"
    project: str
    report: Part = field(default_factory=dict[str, JsonValue])
    seen_edits: set[str] = field(default_factory=set[str])

    async def step(self, arguments: Part) -> bool:
        """Take a step; return whether it succeeded."""
        place: dict[str, JsonValue] = {"project": self.project}
        if name := self.report.get("session"):
            place["session"] = name
        result = await self.session.call(BUILD, {**place, **arguments})
        if result.failed or not isinstance(result.structured, dict):
            return False
        if "specs" not in result.structured:  # a job, or a plan that waits for a yes
            self.session.front.view.show_whole()
            return False
        self.report = result.structured
        return True

    async def run(self) -> None:
        """Show the drafts, then ask, until the person saves or leaves."""
        while True:
            self._show_drafts()
            await self._decide_edits()
            if question := cast("Part | None", self.report.get("question")):
                if not await self._answer(question):
                    return
                continue
            if not await self._choose():
                return

    async def _answer(self, question: Part) -> bool:
        options = cast("Sequence[str]", question.get("options") or [])
        lines = [f"{number}. {option}" for number, option in enumerate(options, 1)]
        example = [f"Output: {question['output']}"] if question.get("output") else []
        text = "\n".join([str(question["question"]), *example, *lines])
        self.session.front.say(text, "person")
        answer = await self.session.front.ask("A number or your words (empty: assume): ")
        if answer is None:
            return False
        words = answer.strip()
        if words.isdecimal() and 0 < int(words) <= len(options):
            words = options[int(words) - 1]
        reply: JsonValue = {"question": question["id"], "answer": words or "assume"}
        return await self.step({"answers": [reply]})

    async def _decide_edits(self) -> None:
        """Put each new change of a model side by side, to be taken or restored."""
        edits = cast("Sequence[Part]", self.report.get("edits") or [])
        for edit in [edit for edit in edits if str(edit["id"]) not in self.seen_edits]:
            self.seen_edits.add(str(edit["id"]))
            if edit.get("state") != "made":
                continue
            self.session.front.print(side_by_side(edit))
            keys = {"y": _TAKE, "n": _RESTORE}
            word = await self.session.front.press("Take the new words? [y/n] ", keys)
            if word == _RESTORE:
                await self.step({"edits": [{"target": edit["id"], "text": ""}]})

    async def _choose(self) -> bool:
        line = " · ".join(f"{key} {word}" for key, word in _CHOICES.items())
        word = await self.session.front.press(f"{line}  ", _CHOICES)
        match word:
            case "save":
                if await self.step({"save": True}):
                    self._show_saved()
                return False
            case "edit":
                return await self._edit()
            case "check with the model":
                model = self.session.conversation.model.name
                await self.step({"model": model} if model else {})
                return True
            case _:
                self.session.front.say("The session is kept: /spec alone goes on with it.")
                return False

    async def _edit(self) -> bool:
        target = await self.session.front.ask("What (c2, d1.e1, name; d1: a new requirement)? ")
        if not target:
            return True
        text = await self.session.front.ask("New words (empty removes): ")
        if text is not None:
            await self.step({"edits": [{"target": target.strip(), "text": text}]})
        return True

    def _show_saved(self) -> None:
        """Name the specs that were saved, and the next steps."""
        specs = cast("Sequence[Part]", self.report.get("specs") or [])
        names = [str(draft["name"]) for draft in specs if draft.get("is_saved")]
        if not names:
            self.session.front.view.show_whole()
            return
        steps = cast("Sequence[Part]", self.report.get("next") or [])
        lines = [f"Next: {step['reason']} ({step['tool']})" for step in steps]
        saved = f"Saved: {', '.join(names)}. /show shows all of it."
        self.session.front.say("\n".join([saved, *lines]))

    def _show_drafts(self) -> None:
        for draft in cast("Sequence[Part]", self.report.get("specs") or []):
            table = Table("", "requirement", "by", box=SIMPLE, pad_edge=False)
            for clause in cast("Sequence[Part]", draft.get("clauses") or []):
                assumption_note = " (assumed)" if clause.get("is_assumed") else ""
                cells = (clause["id"], clause["text"], f"{clause['by']}{assumption_note}")
                table.add_row(*(Text(printable(str(cell))) for cell in cells))
            head = f"{draft['id']} {draft['name']} ({draft['kind']})"
            self.session.front.print(Group(Text(printable(head), "bold"), table))
        for finding in cast("Sequence[Part]", self.report.get("findings") or []):
            self.session.front.say(f"! {finding['clause']} “{finding['words']}”: {finding['why']}")


async def build(session: "Session", words: str) -> None:
    """Build specs from a wish; without one, go on with the session that is open."""
    if not session.front.reader.is_person:
        raise Refusal(
            "/spec asks a person, and none is at a terminal. /call takes the same steps as JSON."
        )
    arguments = read_arguments(words, session.tool(BUILD).input_schema, "wish")
    project = arguments.pop("project", None) or await session.require_project()
    building = _Building(session, str(project))
    if await building.step(arguments):
        await building.run()


async def go_on(session: "Session", project: str, report: Part) -> None:
    """Go on with drafts that a call of `build_spec` has answered."""
    if "specs" in report:
        await _Building(session, project, report).run()


def side_by_side(edit: Part) -> Group:
    """Return an edit with its old and its new words beside each other."""
    table = Table("old", "new", box=SIMPLE, pad_edge=False)
    table.add_row(Text(printable(str(edit["old"]))), Text(printable(str(edit["new"])), "bold"))
    head = f"{edit['id']}: {edit['target']} — {edit['reason']}"
    return Group(Text(printable(head), "bold"), table)
