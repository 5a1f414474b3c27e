"""Ask a panel's models for other wordings of clauses, and for verdicts on outputs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.llm.reasoning_models import reasons
from kiln_mcp.spec_texts.spec_content import Clause
from kiln_mcp.specs.panel_outputs import PanelOutput
from kiln_mcp.specs.panel_readings import MANNERS, REWORDINGS, Reading, clause_list
from kiln_mcp.statistics.reading_verdicts import Cell
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage.text.excerpts import excerpt_line
from storage.text.schema_references import inline_references

KIND: Final = "specs"
"""Who asks, as the response cache names it."""
TEMPERATURE: Final = 0.7
"""At 0 a model repeats itself, and its noise does not show."""
_TOKENS_A_VERDICT: Final = 60
_LONGEST_REWORDING: Final = 2_000
_LONGEST_WITH_REASONING: Final = 8_192
_LONGEST_REASON: Final = 300


class PanelCall(NamedTuple):
    """One call of a panel: some outputs, judged under one reading."""

    outputs: Sequence[PanelOutput]
    reading: Reading
    repeat: int


@dataclass(frozen=True, slots=True)
class PanelVerdict:
    """One verdict; `passes` is None if the model says that the output does not show it."""

    cell: Cell
    repeat: int
    passes: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """The verdicts of one call, and a sentence for what it left out."""

    verdicts: Sequence[PanelVerdict]
    problems: Sequence[str] = field(default=())


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class _Rewording(_Shape):
    clause: str
    texts: list[str]


class _Rewordings(_Shape):
    rewordings: list[_Rewording]


class _Verdict(_Shape):
    output: int
    clause: str
    verdict: Literal["pass", "fail", "cannot_tell"]
    reason: str


class _Verdicts(_Shape):
    verdicts: list[_Verdict]


@dataclass(frozen=True, slots=True)
class PanelAsker:
    """What all calls of a panel share; `faults` are clauses whose words say what must not be."""

    engine: Engine
    instruction: str
    clauses: Sequence[Clause]
    faults: Collection[str]

    async def reword(self, model: str) -> dict[str, list[str]]:
        """Ask for other wordings of the clauses; those that say nothing are left out.

        Raises:
            ModelError: The model gave no usable answer.
        """
        parts = load_prompt("specs", "rewordings").messages(
            task_instruction=self.instruction,
            clauses=clause_list(self.clauses, self.faults),
            count=REWORDINGS,
        )
        request = ModelRequest(
            model=model,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=inline_references(_Rewordings.model_json_schema()),
            max_tokens=_longest(model, _LONGEST_REWORDING),
        )
        answer = await self.engine.complete(request, asker=f"{KIND}/rewordings")
        ids = {clause.id for clause in self.clauses}
        return {
            entry.clause: texts
            for entry in _Rewordings.model_validate(answer.value).rewordings
            if entry.clause in ids
            and (texts := [text.strip() for text in entry.texts if text.strip()])
        }

    async def judge(self, call: PanelCall) -> CallOutcome:
        """Ask for the verdicts of one call; an abstention is a verdict without a value.

        Raises:
            ModelError: The model gave no usable answer.
        """
        outputs, reading, repeat = call
        parts = load_prompt("specs", "panel_verdicts").messages(
            manner=MANNERS[reading.manner],
            task_instruction=self.instruction,
            clauses=clause_list(self.clauses, self.faults, reading.texts),
            outputs="\n\n".join(
                f"Output {number}\nInput: {output.input}\nOutput: {output.output}"
                for number, output in enumerate(outputs, 1)
            ),
        )
        count = len(outputs) * len(self.clauses)
        request = ModelRequest(
            model=reading.model,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=inline_references(_Verdicts.model_json_schema()),
            temperature=TEMPERATURE,
            max_tokens=_longest(reading.model, 200 + _TOKENS_A_VERDICT * count),
            sample=repeat,
        )
        answer = await self.engine.complete(request, asker=f"{KIND}/clause panel")
        return self._outcome(_Verdicts.model_validate(answer.value), call)

    def _outcome(self, answer: _Verdicts, call: PanelCall) -> CallOutcome:
        ids = {clause.id for clause in self.clauses}
        verdicts: dict[Cell, PanelVerdict] = {}
        for entry in answer.verdicts:
            if entry.clause in ids and 1 <= entry.output <= len(call.outputs):
                cell = Cell(entry.clause, call.outputs[entry.output - 1].item, call.reading.id)
                passes = None if entry.verdict == "cannot_tell" else entry.verdict == "pass"
                reason = excerpt_line(entry.reason, _LONGEST_REASON)
                verdicts.setdefault(cell, PanelVerdict(cell, call.repeat, passes, reason))
        missing = len(call.outputs) * len(ids) - len(verdicts)
        problem = f"{call.reading.title}: {missing} verdicts are missing from an answer."
        return CallOutcome([*verdicts.values()], [problem] if missing else [])


def _longest(model: str, usual: int) -> int:
    return max(usual, _LONGEST_WITH_REASONING) if reasons(model) else usual
