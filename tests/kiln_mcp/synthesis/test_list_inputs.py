"""A model that follows no instructions goes on with lines of the user's own kind."""

from collections.abc import Sequence
from pathlib import Path

from data_writer import MODEL, DataWriter, data_project
from kiln_mcp.demo.bookings import make_bookings
from kiln_mcp.llm import ModelRequest
from kiln_mcp.synthesis.coverage_plan import Aim, Slot
from kiln_mcp.synthesis.inputs import Brief, InputRules, Proposal, make_inputs
from kiln_mcp.synthesis.list_inputs import ListMaker, detail_fault

EXAMPLES = tuple(booking.message for booking in make_bookings(1)[::3][:12])
SLOTS = [Slot(number, "", "", Aim.ANY) for number in range(1, 31)]


async def begun_lines(tmp_path: Path, examples: tuple[str, ...]) -> list[str]:
    """Return what the model is shown of each line that it goes on with."""
    writer = DataWriter(lambda _: " end")
    async with data_project(tmp_path, writer) as (workspace, _):
        maker = ListMaker(workspace.engine, MODEL, Brief("", "", "", examples, None, 0))
        await maker.propose(SLOTS, 0, [])
    return [_last_line(request) for request in writer.requests]


def _last_line(request: ModelRequest) -> str:
    return request.messages[0].content.splitlines()[-1].partition(". ")[2]


async def test_lines_begin_like_examples_with_the_details_of_others(tmp_path: Path) -> None:
    lines = await begun_lines(tmp_path, EXAMPLES)
    assert all(lines)
    own = [line for line in lines if any(text.startswith(line) for text in EXAMPLES)]
    assert len(own) < len(lines)
    assert len(set(lines)) > 20
    assert all(len(line.split()) <= 12 for line in lines)


async def test_examples_of_one_word_or_without_details_begin_a_line_too(tmp_path: Path) -> None:
    lines = await begun_lines(tmp_path, ("Help", "Hello there", "No way out of here", "Why?"))
    assert {line.split()[0] for line in lines} == {"Help", "Hello", "No", "Why?"}


class _Ending:
    """Proposes lines that are whole in the second turn."""

    slots_a_call = 1

    async def propose(
        self, order: Sequence[Slot], turn: int, existing: Sequence[str]
    ) -> list[Proposal]:
        texts = ["A table for 9 on Saturday.", "A table for 9 on Saturday at 19:30."]
        return [Proposal(slot, texts[min(turn, 1)]) for slot in order]


async def test_a_line_that_ends_early_is_proposed_again_and_counted() -> None:
    rules = InputRules([], None, EXAMPLES, detail_fault(EXAMPLES))
    made = await make_inputs(_Ending(), SLOTS[:1], rules, lambda: 1)
    assert [item.text for item in made.inputs] == ["A table for 9 on Saturday at 19:30."]
    assert made.rejects == {"not whole: it names no time": 1}
