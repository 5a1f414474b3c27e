"""Proposals become inputs only where they are new and fit the task's input schema."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.lowlevel
import pytest
from pydantic import JsonValue

from data_writer import DataWriter, carried_out, data_project, new_text, planned, runs_in
from kiln_mcp.llm import ModelRequest
from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.synthesis.coverage_plan import Aim, Slot
from kiln_mcp.synthesis.inputs import InputRules, Proposal, make_inputs

SCHEMA: JsonValue = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
SLOTS = [Slot(number, "travel", "", Aim.PASS) for number in range(1, 5)]


@dataclass
class FixedMaker:
    """Proposes the same texts in every turn."""

    texts: Sequence[str]
    slots_a_call: int = 8
    turns: int = 0

    async def propose(
        self, order: Sequence[Slot], turn: int, existing: Sequence[str]
    ) -> Sequence[Proposal]:
        self.turns += 1
        return [Proposal(slot, self.texts[slot.number - 1]) for slot in order]


async def test_a_proposal_that_does_not_fit_the_schema_is_rejected() -> None:
    texts = [json.dumps({"city": "Oslo"}), "no JSON", '{"town": "Rome"}', '{"city": "Lima, Peru"}']
    made = await make_inputs(FixedMaker(texts), SLOTS, InputRules([], SCHEMA), lambda: 2)
    assert [json.loads(item.text)["city"] for item in made.inputs] == ["Oslo", "Lima, Peru"]
    assert made.reject_count == 6  # two of them, in each of three rounds


async def test_inputs_like_existing_ones_are_rejected_until_the_rounds_end() -> None:
    maker = FixedMaker(["Where is my parcel today?"])
    rules = InputRules(["Where is my parcel today?"], None)
    made = await make_inputs(maker, SLOTS[:1], rules, lambda: 2)
    assert (made.inputs, made.rejects, maker.turns) == ((), {"too like another one": 3}, 3)


async def test_a_proposal_with_another_fault_is_rejected() -> None:
    maker = FixedMaker(["one", "two"])
    rules = InputRules([], None, fault_of=lambda item: "too short" if item.text == "one" else "")
    made = await make_inputs(maker, SLOTS[:2], rules, lambda: 1)
    assert [item.text for item in made.inputs] == ["two"]


@dataclass
class UnevenMaker:
    """Answers the first orders last; texts of different orders are alike."""

    slots_a_call: int = 3

    async def propose(
        self, order: Sequence[Slot], turn: int, existing: Sequence[str]
    ) -> Sequence[Proposal]:
        topic = int(order[0].topic)
        for _ in range(20 - topic):
            await anyio.lowlevel.checkpoint()
        shared = new_text(turn, topic // 2)
        own = [new_text(turn, topic, n) for n in range(1, len(order))]
        return [Proposal(slot, text) for slot, text in zip(order, [shared, *own], strict=True)]


async def test_the_same_inputs_are_made_whatever_the_width() -> None:
    slots = [Slot(number + 1, str(number // 3), "", Aim.ANY) for number in range(24)]
    narrow, wide = [
        await make_inputs(UnevenMaker(), slots, InputRules([], None), lambda width=width: width)
        for width in (1, 8)
    ]
    assert narrow == wide
    assert narrow.reject_count


class Stammerer(DataWriter):
    """Answers with no JSON where the order has a certain slot; always, or in the first round."""

    def __init__(self, slot: str, *, for_good: bool) -> None:
        super().__init__()
        self.slot, self.for_good = f"{slot}. topic", for_good

    def __call__(self, request: ModelRequest) -> str:
        text = json.dumps([message.content for message in request.messages])
        if self.slot in text and (self.for_good or not request.sample):
            return "I had rather not."
        return super().__call__(request)


async def test_an_answer_that_cannot_be_used_costs_its_own_slots_alone(tmp_path: Path) -> None:
    for name, for_good, items in (("once", False, 20), ("always", True, 16)):
        writer = Stammerer("20", for_good=for_good)
        async with data_project(tmp_path / name, writer) as (workspace, project):
            plan = await planned(workspace, project, {"count": 20, "topics": ["a"]})
            made = await carried_out(workspace, project, plan.id)
            assert made.items == items
            lost = made.reject_reasons["in an answer that could not be used"]
            assert lost == (3 * 4 if for_good else 4)


async def test_a_writer_that_gives_no_usable_answer_at_all_is_named(tmp_path: Path) -> None:
    writer = Stammerer("1", for_good=True)
    async with data_project(tmp_path, writer) as (workspace, project):
        plan = await planned(workspace, project, {"count": 8, "topics": ["a"]})
        with pytest.raises(BadAnswer, match="no answer that fits the schema"):
            await carried_out(workspace, project, plan.id)
        assert await runs_in(workspace, project) == []
