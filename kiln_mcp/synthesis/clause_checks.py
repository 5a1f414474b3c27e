"""Verdicts on each clause of the spec for outputs, several for each output."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm import Engine, Message, ModelAnswer, ModelRequest
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.synthesis.data_plan import PlanClause
from kiln_mcp.synthesis.inputs import list_schema, list_values
from kiln_mcp.workbench.prompt_templates import load_prompt

VERDICTS: Final = 3
"""Verdicts on an output, if there are not more models that check: enough to outvote one error."""
_LONGEST: Final = 2000
_VERDICT: Final[JsonValue] = {
    "type": "object",
    "properties": {
        "clause": {"type": "string"},
        "reason": {"type": "string"},
        "meets": {"type": "boolean"},
    },
    "required": ["clause", "reason", "meets"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class CheckedOutput:
    """An output to be checked."""

    task_input: str
    output: str


@dataclass(frozen=True, slots=True)
class Tally:
    """The votes on one output, by clause.

    Attributes:
        failures: How many say that the output breaks the clause.
        votes: All of them.
    """

    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    votes: Mapping[str, int] = field(default_factory=dict[str, int])

    def share(self, clause: str) -> float:
        """Return the share of votes that call a clause broken; 0 without votes."""
        return self.failures.get(clause, 0) / max(1, self.votes.get(clause, 0))


@dataclass(frozen=True, slots=True)
class ClauseChecker:
    """Asks models whether outputs meet clauses.

    Attributes:
        engine: The engine.
        models: The models; each gives its share of the verdicts.
        clauses: The clauses.
        instruction: The task's instruction.
        seed: Makes sampling repeatable where the model offers it.
    """

    engine: Engine
    models: Sequence[str]
    clauses: Sequence[PlanClause]
    instruction: str
    seed: int

    async def check(self, outputs: Sequence[CheckedOutput]) -> list[Tally]:
        """Return the votes on each output; a verdict that a model did not give is no vote."""
        verdicts: dict[tuple[int, int], Mapping[str, bool]] = {}
        turns = verdict_models(self.models)

        async def ask(place: tuple[int, int]) -> None:
            number, turn = place
            try:
                verdicts[place] = await self._ask(outputs[number], turns, turn)
            except ModelError:
                verdicts[place] = {}

        places = [(number, turn) for number in range(len(outputs)) for turn in range(len(turns))]
        await for_each(places, ask, self.engine.width(self.models))
        return [
            _tally([verdicts[number, turn] for turn in range(len(turns))])
            for number in range(len(outputs))
        ]

    async def _ask(
        self, output: CheckedOutput, turns: Sequence[str], turn: int
    ) -> Mapping[str, bool]:
        parts = load_prompt("synthesis", "clause_verdicts").messages(
            task_instruction=self.instruction,
            clauses=clause_lines(self.clauses),
            task_input=output.task_input,
            task_output=output.output,
        )
        request = ModelRequest(
            model=turns[turn],
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=list_schema("verdicts", _VERDICT),
            # Verdicts at 0 would all be the same, and say nothing of how sure the judge is.
            temperature=1.0,
            max_tokens=_LONGEST,
            seed=self.seed,
            sample=turns[:turn].count(turns[turn]),
        )
        answer = await self.engine.complete(request, asker="synthesis/clause_verdicts")
        return self._verdicts_in(answer)

    def _verdicts_in(self, answer: ModelAnswer) -> Mapping[str, bool]:
        ids = {clause.id for clause in self.clauses}
        verdicts: dict[str, bool] = {}
        for value in list_values(answer, "verdicts"):
            clause = value.get("clause") if isinstance(value, dict) else None
            if isinstance(value, dict) and isinstance(clause, str) and clause in ids:
                verdicts.setdefault(clause, value.get("meets") is True)
        return verdicts


def verdict_models(models: Sequence[str]) -> list[str]:
    """Return the model of each verdict on an output: in turn, and every model at least once."""
    return [models[turn % len(models)] for turn in range(max(VERDICTS, len(models)))]


def clause_lines(clauses: Sequence[PlanClause]) -> str:
    """Return clauses as a list with their ids."""
    return "\n".join(f"- {clause.id}: {clause.text}" for clause in clauses)


def _tally(verdicts: Sequence[Mapping[str, bool]]) -> Tally:
    failures, votes = Counter[str](), Counter[str]()
    for verdict in verdicts:
        votes.update(verdict.keys())
        failures.update(clause for clause, meets in verdict.items() if not meets)
    return Tally(failures, votes)
