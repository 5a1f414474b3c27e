"""The slash commands: what they call, with what, and what is shown."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from io import StringIO
from pathlib import Path

import anyio
import pytest

from agent.commands.arguments import Schema, read_arguments
from agent.commands.table import COMMANDS, action_of, find_command, help_text
from agent.modes import Mode
from agent.session import Session
from agent.terminal.front import Front
from agent.terminal.painter import Painter
from agent.terminal.surface import PlainSurface
from agent.terminal.view import EventView
from scripted_chat import scripted
from small_workbench import SmallWorkbench
from storage.errors import Refusal
from talks import chat_options, talk

SCHEMA: Schema = {
    "properties": {
        "eval": {"type": "string"},
        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "topics": {"type": "array", "items": {"type": "string"}},
    }
}


@dataclass
class Typist:
    """Types and presses what was written beforehand, then ends."""

    lines: list[str] = field(default_factory=list[str])
    is_person: bool = True
    reads_ahead: bool = False

    async def line(self) -> str | None:
        return self.lines.pop(0) if self.lines else None

    async def answer(self, question: str) -> str | None:
        return await self.line()

    async def press(self, question: str, keys: Mapping[str, str]) -> str | None:
        line = await self.line()
        return None if line is None else keys[line]


@dataclass
class Sitting:
    session: Session
    workbench: SmallWorkbench
    shown: StringIO

    async def type(self, *lines: str, is_person: bool = True) -> str:
        start = len(self.shown.getvalue())
        self.session.front.reader = Typist(list(lines), is_person)
        await self.session.run()
        return self.shown.getvalue()[start:]


@asynccontextmanager
async def sitting(folder: Path, *answers: str) -> AsyncGenerator[Sitting]:
    shown, workbench = StringIO(), SmallWorkbench()
    surface = PlainSurface(shown, Painter(None, escapes=False), 100)
    front = Front(EventView(surface, has_boxes=False), Typist())
    model = scripted(*answers) if answers else None
    options = chat_options(folder, **({} if answers else {"model": ""}))
    with anyio.fail_after(60):
        async with talk(options, model, workbench.server, front, asks_itself=False) as chat:
            yield Sitting(Session(front, chat), workbench, shown)


def test_every_command_has_its_action_and_a_line_of_help() -> None:
    for command in COMMANDS:
        assert callable(action_of(command))
        assert f"{command.name} {command.arguments}".strip() in help_text()
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)


def test_the_tools_of_commands_are_tools_of_the_workbench() -> None:
    tools = import_module("agent.commands.tools")
    catalogue = import_module("kiln_mcp.catalogue").installed_catalogue()
    names = {item.name for item in catalogue.capabilities}
    assert {command.tool for command in tools.TOOLS.values()} <= names
    assert set(tools.TOOLS) <= {command.name for command in COMMANDS}


def test_a_command_that_is_close_is_named() -> None:
    with pytest.raises(Refusal, match="Did you mean /optimize"):
        find_command("/optimise")


def test_words_become_arguments_by_the_tools_schema() -> None:
    assert read_arguments("Refunds at night count=20 topics=a,b", SCHEMA, "eval") == {
        "eval": "Refunds at night",
        "count": 20,
        "topics": ["a", "b"],
    }
    assert read_arguments('"two words" count=null', SCHEMA, "eval") == {
        "eval": "two words",
        "count": None,
    }
    assert read_arguments("it's", SCHEMA, "eval") == {"eval": "it's"}


@pytest.mark.parametrize(("words", "sentence"), [("count=many", "no integer"), ("x", "name=value")])
def test_words_that_fit_nothing_are_refused(words: str, sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        read_arguments(words, SCHEMA, "")


async def test_results_are_a_table_with_intervals_and_a_curve(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        shown = await it.type("/compare Politeness project=p")
    assert "0.71" in shown
    assert "├" in shown
    assert "▁▄█" in shown
    assert '"rows"' not in shown


async def test_a_folded_result_is_shown_whole_by_its_number(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        await it.type('/call look {"place": "house"}', '/call look {"place": "barn"}')
        shown = await it.type("/show 1", "/show 9")
    assert "house is empty\nand dark" in shown
    assert "barn" not in shown
    assert "There is no result '9'. Results of this session: 1 to 2." in shown


async def test_labels_are_saved_one_by_one_and_an_undone_one_is_replaced(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        shown = await it.type("/label Right project=p", "p", "u", "f", "q")
    assert it.workbench.labels == [
        {"item": "i1", "score": "right", "label": "pass"},
        {"item": "i1", "score": "right", "label": "fail"},
    ]
    assert "question 1" in shown
    assert "1 of 2 labels are given." in shown


async def test_each_score_of_an_item_has_its_own_question_and_keys(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        it.workbench.scores = {"Top 5": ["pass", "fail", "skip"], "Tone": ["1", "2", "3", "4", "5"]}
        shown = await it.type("/label Right project=p", "p", "4", "q")
    assert it.workbench.labels == [
        {"item": "i1", "score": "Top 5", "label": "pass"},
        {"item": "i1", "score": "Tone", "label": "4"},
    ]
    assert "Top 5: 1 of 4" in shown
    assert "Tone: 2 of 4" in shown


async def test_nobody_labels_or_builds_specs_through_a_pipe(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        shown = await it.type("/label Right project=p", "p", is_person=False)
        assert "a person's" in shown
        assert "none is at a terminal" in await it.type("/spec x project=p", is_person=False)
    assert it.workbench.labels == []
    assert it.workbench.steps == []


async def test_a_spec_is_built_by_questions_and_its_edits_are_decided_one_by_one(
    tmp_path: Path,
) -> None:
    async with sitting(tmp_path) as it:
        shown = await it.type("/spec be polite project=p", "2", "n", "s")
    assert it.workbench.steps[0]["wish"] == "be polite"
    assert it.workbench.steps[1]["answers"] == [{"question": "q1", "answer": "a line"}]
    assert it.workbench.steps[2]["edits"] == [{"target": "x1", "text": ""}]
    assert it.workbench.steps[3]["save"]
    assert "Greet." in shown
    assert "Greet first." in shown


async def test_a_mode_is_changed_with_its_limit(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        assert "Up to $2.50." in await it.type("/mode auto 2.5")
        assert it.session.chat.approvals.mode is Mode.AUTO
        assert "no sum in US dollars" in await it.type("/mode auto nan")
        assert "Modes: " in await it.type("/mode wild")


async def test_words_instead_of_yes_decline_and_go_to_the_model(tmp_path: Path) -> None:
    async with sitting(tmp_path, "x") as it:
        await it.type("/call wipe", "only the old ones")
        assert it.workbench.wiped == 0
        assert it.session.front.replies == ["only the old ones"]


async def test_a_chat_is_named_listed_forked_and_exported(tmp_path: Path) -> None:
    async with sitting(tmp_path, "a", "b") as it:
        await it.type("first", "second")
        assert "Rude answers" in await it.type("/title Rude answers")
        assert "Rude answers" in await it.type("/chats rude")
        assert "No chat has these words." in await it.type("/chats zebra")
        name = it.session.chat.name
        await it.type("/fork 2")
        assert it.session.chat.name != name
        assert [m.content for m in it.session.conversation.messages[1:]] == ["first", "a"]
        file = tmp_path / "chat.md"
        assert "Written to" in await it.type(f"/export {file}")
        assert "first" in file.read_text(encoding="utf-8")
        assert "does not exist yet" in await it.type(f"/export {file}")
