"""Make inputs: by a capable model's JSON, or by the embedded model going on with a list."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from pydantic import JsonValue

from kiln_mcp.datasets.shingles import NEAR, jaccard, shingles
from kiln_mcp.llm import Engine, Message, ModelAnswer, ModelRequest
from kiln_mcp.llm.answer_schemas import embedded
from kiln_mcp.llm.for_each import Width, for_each
from kiln_mcp.synthesis.coverage_plan import Cell
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage.text.json_schema import find_problem

EXAMPLES_SHOWN: Final = 4
"""Entries that the embedded model's list starts with; measured: four give varied inputs."""

_MOST_AT_ONCE: Final = 8
_MOST_SHOWN: Final = 12
_ROUNDS: Final = 3
_CONTINUATION_TOKENS: Final = 64
_WARM: Final = 0.9


@dataclass(frozen=True, slots=True)
class Brief:
    """What inputs are made for.

    Attributes:
        instruction: The task's instruction.
        spec_text: The text of the spec, "" for none.
        guidance: What else is wished, "" for nothing.
        examples: Inputs like those that are wanted.
        input_schema: JSON Schema of an input; None for plain text.
        seed: Makes sampling repeatable where the model offers it.
    """

    instruction: str
    spec_text: str
    guidance: str
    examples: tuple[str, ...]
    input_schema: JsonValue
    seed: int


@dataclass(frozen=True, slots=True)
class MadeInput:
    """An input and the cell of the plan that it fills."""

    text: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class MadeInputs:
    """Inputs that may be used, and how many proposals were not."""

    inputs: tuple[MadeInput, ...]
    reject_count: int


class InputMaker(Protocol):
    """Proposes inputs for a cell of the plan."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    async def propose(
        self, cell: Cell, count: int, turn: int, existing: Sequence[str]
    ) -> Sequence[str]:
        """Return about `count` proposals; a later turn gives others."""
        ...


class CapableMaker:
    """Asks for inputs as JSON."""

    def __init__(self, engine: Engine, model: str, brief: Brief) -> None:
        self._engine = engine
        self._brief = brief
        self._prompt = load_prompt("synthesis", "inputs")
        self.model = model

    async def propose(
        self, cell: Cell, count: int, turn: int, existing: Sequence[str]
    ) -> Sequence[str]:
        """Return proposals in requests of up to eight."""
        proposals: list[str] = []
        for start in range(0, count, _MOST_AT_ONCE):
            batch = min(_MOST_AT_ONCE, count - start)
            recent = [*existing, *proposals][-_MOST_SHOWN:]
            proposals += await self._ask(cell, batch, turn * cell.count + start, recent)
        return proposals

    async def _ask(self, cell: Cell, count: int, sample: int, recent: Sequence[str]) -> list[str]:
        brief = self._brief
        parts = self._prompt.messages(
            task_instruction=brief.instruction,
            spec=brief.spec_text or "Nothing is said.",
            topic=cell.topic or "Any.",
            difficulty=str(cell.aim),
            count=count,
            examples=_bullet_list(brief.examples[:_MOST_SHOWN]),
            existing=_bullet_list(recent),
            guidance=brief.guidance or "None.",
        )
        text: JsonValue = {"type": "string"}
        item = text if brief.input_schema is None else brief.input_schema
        request = ModelRequest(
            model=self.model,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=_list_schema("inputs", item),
            temperature=_WARM,
            max_tokens=4000,
            seed=brief.seed,
            sample=sample,
        )
        answer = await self._engine.complete(request, asker="synthesis/inputs")
        return [
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for value in _values(answer, "inputs")
        ][:count]


class ListMaker:
    """Lets a model that follows no instructions go on with a list of examples."""

    def __init__(self, engine: Engine, model: str, brief: Brief) -> None:
        self._engine = engine
        self._brief = brief
        self.model = model

    async def propose(
        self, cell: Cell, count: int, turn: int, existing: Sequence[str]
    ) -> Sequence[str]:
        """Return one proposal for each of `count` lists, whose examples differ."""
        proposals = [""] * count

        async def go_on(place: int) -> None:
            proposals[place] = await self._go_on(cell, turn * cell.count + place)

        await for_each(range(count), go_on, self._engine.width([self.model]))
        return proposals

    async def _go_on(self, cell: Cell, place: int) -> str:
        brief = self._brief
        # A text seed: equal for equal arguments in every process, unlike hash().
        chooser = random.Random(f"{brief.seed} {cell.topic} {cell.aim} {place}")
        examples = chooser.sample(brief.examples, min(EXAMPLES_SHOWN, len(brief.examples)))
        subject = f" about {cell.topic}" if cell.topic else ""
        lines = [f"{number}. {text}" for number, text in enumerate(examples, 1)]
        head = f"A list of {len(examples) + 20} different messages{subject}, one a line:"
        request = ModelRequest(
            model=self.model,
            messages=(Message("raw", "\n".join([head, *lines, f"{len(lines) + 1}."])),),
            temperature=_WARM,
            max_tokens=_CONTINUATION_TOKENS,
            seed=chooser.randrange(2**31),
            stop=("\n",),
        )
        accept = ("complete", "truncated", "refused", "empty")
        answer = await self._engine.complete(request, asker="synthesis/inputs", accept=accept)
        # What was cut off has no end; better none than half a sentence.
        return answer.text.strip().strip('"') if answer.state == "complete" else ""


async def propose_topics(engine: Engine, model: str, brief: Brief, count: int) -> list[str]:
    """Return topics that a capable model names, each once, at most `count`.

    Raises:
        ModelError: The model gave no usable answer.
    """
    parts = load_prompt("synthesis", "topics").messages(
        count=count,
        task_instruction=brief.instruction,
        spec=brief.spec_text or "Nothing is said.",
        guidance=brief.guidance or "None.",
    )
    request = ModelRequest(
        model=model,
        messages=tuple(Message(part.role, part.content) for part in parts),
        schema=_list_schema("topics", {"type": "string", "maxLength": 80}),
        seed=brief.seed,
    )
    answer = await engine.complete(request, asker="synthesis/topics")
    texts = [str(topic).strip() for topic in _values(answer, "topics")]
    return list(dict.fromkeys(text for text in texts if text))[:count]


async def make_inputs(
    maker: InputMaker,
    plan: Sequence[Cell],
    existing: Sequence[str],
    input_schema: JsonValue,
    width: Width,
) -> MadeInputs:
    """Fill the plan with inputs that are new: not alike to known ones nor to each other.

    What is dropped is proposed again, up to three rounds; a plan may stay short. Proposals are
    asked for together and looked at in the order of the plan, whatever the width.

    Args:
        maker: Proposes them.
        plan: The cells to fill.
        existing: Inputs that are there.
        input_schema: JSON Schema of an input; None for plain text.
        width: How many cells at once.
    """
    earlier = [shingles(text) for text in existing]
    inputs: list[MadeInput] = []
    reject_count = 0
    for turn in range(_ROUNDS):
        for cell, proposal in await _proposals(maker, plan, turn, inputs, width):
            text = proposal.strip()
            own = shingles(text)
            alike = any(jaccard(own, other) >= NEAR for other in earlier)
            if alike or not own or not await _fits(text, input_schema):
                reject_count += 1
                continue
            earlier.append(own)
            inputs.append(MadeInput(text, cell))
    return MadeInputs(tuple(inputs), reject_count)


async def _proposals(
    maker: InputMaker, plan: Sequence[Cell], turn: int, inputs: Sequence[MadeInput], width: Width
) -> list[tuple[Cell, str]]:
    """Return the proposals of one round for all cells that miss inputs, in the plan's order."""
    by_cell: dict[Cell, Sequence[str]] = {}

    async def propose(cell: Cell) -> None:
        mine = [item.text for item in inputs if item.cell == cell]
        if len(mine) < cell.count:
            by_cell[cell] = await maker.propose(cell, cell.count - len(mine), turn, mine)

    await for_each(plan, propose, width)
    return [(cell, text) for cell in plan for text in by_cell.get(cell, ())]


async def _fits(text: str, schema: JsonValue) -> bool:
    if not isinstance(schema, dict):
        return True
    try:
        return await find_problem(json.loads(text), schema) is None
    except (ValueError, RecursionError):
        return False


def _values(answer: ModelAnswer, name: str) -> list[JsonValue]:
    values = answer.value.get(name) if isinstance(answer.value, dict) else None
    return values if isinstance(values, list) else []


def _list_schema(name: str, item: JsonValue) -> dict[str, JsonValue]:
    part, definitions = embedded(item, "item") if isinstance(item, dict) else (item, {})
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {name: {"type": "array", "items": cast("JsonValue", part)}},
        "required": [name],
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def _bullet_list(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts) or "None."
