"""Make inputs for the slots of a plan: what proposes them, and which of them may be used."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from pydantic import JsonValue

from kiln_mcp.llm import Engine, JsonSchema, Message, ModelAnswer, ModelRequest
from kiln_mcp.llm.answer_schemas import embedded
from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.llm.for_each import Width, for_each
from kiln_mcp.synthesis.coverage_plan import Aim, Slot
from kiln_mcp.synthesis.data_plan import INPUTS_A_CALL, DataPlan, input_orders
from kiln_mcp.synthesis.quality import Candidate, Fault, assess
from kiln_mcp.synthesis.user_cases import FIELDS, UserCase
from kiln_mcp.workbench.prompt_templates import load_prompt

ROUNDS: Final = 3
"""How often a slot is asked for at most: what is dropped is asked for again."""
_MOST_SHOWN: Final = 12
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
class Proposal:
    """An input that is proposed for a slot, with the right output that came with it."""

    slot: Slot
    text: str
    output: str = ""
    quotation: str = ""
    user: UserCase | None = None


@dataclass(frozen=True, slots=True)
class MadeInputs:
    """Inputs that may be used, in the order of their slots, and why others may not, how often."""

    inputs: tuple[Proposal, ...]
    rejects: Mapping[str, int]

    @property
    def reject_count(self) -> int:
        """How many were not usable."""
        return sum(self.rejects.values())


class InputMaker(Protocol):
    """Proposes inputs for slots."""

    @property
    def slots_a_call(self) -> int:
        """How many slots one call is for."""
        ...

    async def propose(
        self, order: Sequence[Slot], turn: int, existing: Sequence[str]
    ) -> Sequence[Proposal]:
        """Return proposals for an order of slots; a later turn gives others."""
        ...


class CapableMaker:
    """Asks for inputs as JSON, those of several slots in one call.

    The requests of one round differ in their slots alone, so that `host` gets them as one batch.
    """

    slots_a_call = INPUTS_A_CALL

    def __init__(
        self, engine: Engine, brief: Brief, plan: DataPlan, notes: Mapping[int, str] | None = None
    ) -> None:
        """Set up.

        Args:
            engine: The engine.
            brief: What inputs are made for.
            plan: The plan of the slots.
            notes: What a person wishes of inputs that are written again, by slot.
        """
        self._engine = engine
        self._brief = brief
        self._plan = plan
        self._notes = notes or {}
        self.prompt = load_prompt("synthesis", prompt_name(plan))

    async def propose(
        self, order: Sequence[Slot], turn: int, existing: Sequence[str]
    ) -> Sequence[Proposal]:
        """Return the proposals of one answer; one for a slot that nobody asked for is left out."""
        brief = self._brief
        parts = self.prompt.messages(
            task_instruction=brief.instruction,
            spec=brief.spec_text or "Nothing is said.",
            examples=_bullet_list(brief.examples[:_MOST_SHOWN]),
            existing=_bullet_list(existing[-_MOST_SHOWN:]),
            guidance=brief.guidance or "None.",
            slots=_slot_lines(order, self._plan, self._notes),
        )
        request = ModelRequest(
            model=self._plan.writer,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=_inputs_schema(brief.input_schema, _fields_beside(self._plan)),
            temperature=_WARM,
            max_tokens=4000,
            seed=brief.seed,
            sample=turn,
        )
        answer = await self._engine.complete(request, asker="synthesis/inputs")
        return _proposals_in(answer, order)


@dataclass(frozen=True, slots=True)
class InputRules:
    """What makes an input usable.

    Attributes:
        existing: Inputs that are there: new ones may not say the same.
        input_schema: JSON Schema of an input; None for plain text.
        own_texts: What the user or real users wrote: how common a phrase may be.
        fault_of: Says what is wrong with a proposal otherwise; "" for nothing.
        embeddings: The folder of the user's embedding model; None to compare letters alone.
    """

    existing: Sequence[str]
    input_schema: JsonValue
    own_texts: Sequence[str] = ()
    fault_of: Callable[[Proposal], str] = lambda _: ""
    embeddings: Path | None = None

    async def faults(self, proposals: Sequence[Proposal], earlier: Sequence[str]) -> list[str]:
        """Return what is wrong with each proposal; "" for what may be used.

        Args:
            proposals: Those of one round.
            earlier: Inputs of the rounds before.
        """
        candidates = [Candidate(item.text, item.slot.topic) for item in proposals]
        existing = [*self.existing, *earlier]
        assessment = await assess(
            candidates, existing, self.input_schema, self.own_texts, self.embeddings
        )
        return [
            next((_FAULTS[fault] for fault in verdict.faults), "") or self.fault_of(item)
            for item, verdict in zip(proposals, assessment.verdicts, strict=True)
        ]


_UNUSABLE_ANSWER: Final = "in an answer that could not be used"
_FAULTS: Final[Mapping[Fault, str]] = {
    Fault.TRUNCATED: "cut off",
    Fault.REFUSED: "a refusal",
    Fault.EMPTY: "empty",
    Fault.UNREADABLE: "unreadable",
    Fault.SCHEMA: "not as the schema wants it",
    Fault.DUPLICATE: "too like another one",
    Fault.STOCK_PHRASE: "the writer's stock phrase again",
}


async def make_inputs(
    maker: InputMaker, slots: Sequence[Slot], rules: InputRules, width: Width
) -> MadeInputs:
    """Fill slots with inputs that are new: not alike to existing ones nor to each other.

    What is dropped is proposed again, up to three rounds; a plan may stay short. Proposals are
    asked for together and looked at in the order of the plan, whatever the width. An answer that
    cannot be read costs its slots alone.

    Args:
        maker: Proposes them.
        slots: The slots to fill.
        rules: What makes an input usable.
        width: How many calls at once.

    Raises:
        ModelError: No answer of a round could be used.
    """
    inputs: dict[int, Proposal] = {}
    rejects: Counter[str] = Counter()
    for turn in range(ROUNDS):
        missing = [slot for slot in slots if slot.number not in inputs]
        texts_so_far = [proposal.text for proposal in inputs.values()]
        proposals, lost_count = await _proposals(maker, missing, turn, texts_so_far, width)
        rejects[_UNUSABLE_ANSWER] += lost_count
        faults = await rules.faults(proposals, texts_so_far)
        for proposal, fault in zip(proposals, faults, strict=True):
            if fault:
                rejects[fault] += 1
            else:
                inputs[proposal.slot.number] = proposal
    return MadeInputs(tuple(inputs[number] for number in sorted(inputs)), +rejects)


async def _proposals(
    maker: InputMaker, slots: Sequence[Slot], turn: int, inputs: Sequence[str], width: Width
) -> tuple[list[Proposal], int]:
    """Return the proposals of one round in the plan's order, and for how many slots none came.

    Raises:
        BadAnswer: No answer could be used.
    """
    orders = input_orders(slots, maker.slots_a_call)
    by_order: dict[int, Sequence[Proposal]] = {}
    errors: dict[int, BadAnswer] = {}

    async def propose(place: int) -> None:
        try:
            by_order[place] = await maker.propose(orders[place], turn, inputs)
        except BadAnswer as error:
            errors[place] = error

    await for_each(range(len(orders)), propose, width)
    if errors and not by_order and not inputs:
        raise errors[min(errors)]
    proposals = [own for place in range(len(orders)) for own in by_order.get(place, ())]
    return proposals, sum(len(orders[place]) for place in errors)


def _slot_lines(order: Sequence[Slot], plan: DataPlan, notes: Mapping[int, str]) -> str:
    """Return the slots in words, one a line; a passage or a trace stands below its slot."""
    lines: list[str] = []
    for slot in order:
        texts = {
            "topic": slot.topic or "any",
            "wishes for the topic": plan.topic_guidance.get(slot.topic, ""),
            "requirement": plan.clause_texts.get(slot.clause, ""),
            "outcome": "" if slot.aim is Aim.ANY else str(slot.aim),
            "right answer": slot.label,
            "written by": slot.persona,
            "a person's wish": notes.get(slot.number, ""),
        }
        words = "; ".join(f"{name}: {text}" for name, text in texts.items() if text)
        lines.append(f"{slot.number}. {words}")
        if slot.source:
            is_trace = bool(plan.turns) and plan.source_kind == "trace"
            name = "old conversation" if is_trace else "material"
            lines.append(f"   {name}: {plan.sources[slot.source - 1].text}")
    return "\n".join(lines)


def prompt_name(plan: DataPlan) -> str:
    """Return the name of the prompt by which a plan's inputs are written."""
    if plan.turns:
        return "user_cases"
    return "rewritten_inputs" if plan.source_kind == "trace" else "inputs"


def _fields_beside(plan: DataPlan) -> Sequence[str]:
    """Return what is written beside each input."""
    fields = FIELDS if plan.turns else ()
    if plan.source_kind == "passage":
        return (*fields, "quotation") if plan.turns else ("answer", "quotation")
    return fields


def _inputs_schema(input_schema: JsonValue, fields_beside: Sequence[str]) -> dict[str, JsonValue]:
    """Return the schema of an answer: the number of a slot and its input, for each slot."""
    text: JsonValue = {"type": "string"}
    is_object = isinstance(input_schema, dict)
    part, definitions = embedded(input_schema, "item") if is_object else (text, {})
    fields: dict[str, JsonValue] = {"slot": {"type": "integer"}, "input": cast("JsonValue", part)}
    fields |= dict.fromkeys(fields_beside, text)
    item: JsonValue = {
        "type": "object",
        "properties": fields,
        "required": list[JsonValue](fields),
        "additionalProperties": False,
    }
    schema = list_schema("inputs", item)
    return {**schema, "$defs": definitions} if definitions else schema


def _proposals_in(answer: ModelAnswer, order: Sequence[Slot]) -> list[Proposal]:
    slots = {slot.number: slot for slot in order}
    proposals: dict[int, Proposal] = {}
    for value in list_values(answer, "inputs"):
        number = value.get("slot") if isinstance(value, dict) else None
        if isinstance(value, dict) and isinstance(number, int) and number in slots:
            content = value.get("input")
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            text = text.strip()
            output, words = str(value.get("answer", "")), str(value.get("quotation", ""))
            proposal = Proposal(slots[number], text, output, words, UserCase.of(value))
            proposals.setdefault(number, proposal)
    return [proposals[number] for number in sorted(proposals)]


def list_values(answer: ModelAnswer, name: str) -> list[JsonValue]:
    """Return the values of the one list in an answer; none if there is no such list."""
    values = answer.value.get(name) if isinstance(answer.value, dict) else None
    return values if isinstance(values, list) else []


def value_schema(name: str, schema: JsonSchema | None) -> dict[str, JsonValue]:
    """Return the schema of an answer that is one value: text, or what fits a schema."""
    text: JsonSchema = {"type": "string"}
    part, definitions = (text, {}) if schema is None else embedded(schema, "item")
    answer_schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {name: cast("JsonValue", part)},
        "required": [name],
        "additionalProperties": False,
    }
    return {**answer_schema, "$defs": definitions} if definitions else answer_schema


def text_value(answer: ModelAnswer, name: str) -> str:
    """Return the one value of an answer as the format holds it; "" if there is none."""
    value = answer.value.get(name) if isinstance(answer.value, dict) else None
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def list_schema(name: str, item: JsonValue) -> dict[str, JsonValue]:
    """Return the schema of an answer that is one list."""
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": item}},
        "required": [name],
        "additionalProperties": False,
    }


def _bullet_list(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts) or "None."
