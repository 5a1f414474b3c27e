"""Proposals become inputs only where they are new and fit the task's input schema."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import anyio.lowlevel
from pydantic import JsonValue

from kiln_mcp.synthesis.coverage_plan import Aim, Cell
from kiln_mcp.synthesis.inputs import make_inputs

SCHEMA: JsonValue = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
CELL = Cell("travel", Aim.PASS, 2)


@dataclass
class FixedMaker:
    """Proposes the same texts in every turn."""

    texts: Sequence[str]
    model: str = "fixed"
    turns: int = 0

    async def propose(
        self, cell: Cell, count: int, turn: int, existing: Sequence[str]
    ) -> Sequence[str]:
        self.turns += 1
        return self.texts


async def test_a_proposal_that_does_not_fit_the_schema_is_rejected() -> None:
    texts = [json.dumps({"city": "Oslo"}), "no JSON", '{"town": "Rome"}', '{"city": "Lima, Peru"}']
    made = await make_inputs(FixedMaker(texts), [CELL], [], SCHEMA, lambda: 2)
    assert [json.loads(item.text)["city"] for item in made.inputs] == ["Oslo", "Lima, Peru"]
    assert made.reject_count == 2


async def test_inputs_like_existing_ones_are_rejected_until_the_rounds_end() -> None:
    maker = FixedMaker(["Where is my parcel today?"])
    made = await make_inputs(maker, [CELL], ["Where is my parcel today?"], None, lambda: 2)
    assert (made.inputs, made.reject_count, maker.turns) == ((), 3, 3)


@dataclass
class UnevenMaker:
    """Answers the first cells last; texts of different cells are alike."""

    model: str = "uneven"

    async def propose(
        self, cell: Cell, count: int, turn: int, existing: Sequence[str]
    ) -> Sequence[str]:
        for _ in range(20 - int(cell.topic)):
            await anyio.lowlevel.checkpoint()
        shared = f"word{int(cell.topic) // 2} turn{turn}"
        return [shared, *(f"{shared} {cell.topic}x{n} y{n}" for n in range(count))]


async def test_the_same_inputs_are_made_whatever_the_width() -> None:
    plan = [Cell(str(topic), Aim.ANY, 3) for topic in range(8)]
    narrow, wide = [
        await make_inputs(UnevenMaker(), plan, [], None, lambda width=width: width)
        for width in (1, 8)
    ]
    assert narrow == wide
    assert narrow.reject_count
