"""A cascade: cheap judges first, and a better one, or a person, only where they are in doubt.

Cheap judges are in doubt if one abstains, if they differ, or if one weighs its scores and no side
outweighs the other. The record holds copies of its judges, so it judges the same when they change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field, JsonValue, PrivateAttr, TypeAdapter

from kiln_mcp.evaluators.evaluator import (
    CANNOT_BE_JUDGED,
    Evaluation,
    EvaluationContext,
    Evaluator,
    EvaluatorKind,
    Skipped,
    WorkbenchDefinition,
    check_of,
)
from kiln_mcp.evaluators.kinds import llm_judge, steps_judge
from kiln_mcp.evaluators.scales import decision_of, to_unit_scale
from kiln_mcp.llm import Usage as ModelUsage
from kiln_mcp.run_configs.item_templates import Case
from storage import Eval, EvalConfig, LlmJudge, ProjectStore, StepsJudge
from storage.errors import InvalidValue, Refusal
from storage.records.handles import choose
from storage.records.workbench_checks import CHECK_KEY, JudgeCascade

TYPE: Final = "cascade"
PERSON: Final = "person"
"""What stands for a person at the end of a cascade."""
_BORDER: Final = 0.2
"""The distance from either end of the scale from which on a weighted score is in doubt."""


class CascadeDefinition(WorkbenchDefinition):
    """Cheap judges first; the last one, or a person, only where they differ or abstain."""

    type: Literal["cascade"]
    judges: list[str] = Field(
        min_length=2,
        description="Evaluators of the eval, the cheap ones first; the last may be 'person'.",
    )
    _stages: list[JsonValue] = PrivateAttr(default_factory=list[JsonValue])

    @property
    def asks_model(self) -> bool:
        """Whether the evaluator asks a model."""
        return True

    async def with_records(
        self, store: ProjectStore, eval_record: Eval | None
    ) -> "CascadeDefinition":
        """Return the definition with copies of its judges.

        Raises:
            Refusal: The eval is new, or one of the evaluators is no judge.
            RecordNotFound: The eval has no evaluator of a name.
        """
        if eval_record is None:
            raise Refusal(
                "A cascade is made of an eval's own judges, and the eval is new. Create the judges "
                "first."
            )
        evaluators = await store.children(eval_record, EvalConfig)
        *cheap, last = self.judges
        names = [*cheap, *([] if last == PERSON else [last])]
        records = [choose(EvalConfig, evaluators, name) for name in names]
        for record in records:
            if not isinstance(record.properties, LlmJudge | StepsJudge):
                raise InvalidValue(
                    "{name} is no judge that asks a model, so it cannot be part of a cascade.",
                    name=record.name,
                )
        complete = self.model_copy()
        complete._stages = [record.model_dump(mode="json") for record in records]
        return complete

    def properties(self, model: str) -> Mapping[str, JsonValue]:
        """Return the record's properties."""
        del model
        check = JudgeCascade.model_validate({"judges": self.judges, "stages": self._stages})
        return {"type": "code_eval", CHECK_KEY: check.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class CascadeEvaluator:
    """Asks judges in turn.

    Attributes:
        cheap: The judges that are asked about every output.
        last: The judge that is asked where they are in doubt; None for a person.
    """

    cheap: tuple[Evaluator, ...]
    last: Evaluator | None

    @property
    def model(self) -> str | None:
        """The model of the last judge, or of the first one if a person is last."""
        return (self.last or self.cheap[0]).model

    @property
    def calls_per_item(self) -> int:
        """The most model calls for one item."""
        return sum(self.calls_each.values())

    @property
    def calls_each(self) -> Mapping[str, int]:
        """The most calls of each model for one item."""
        calls: dict[str, int] = {}
        for judge in (*self.cheap, *([self.last] if self.last else [])):
            if judge.model:
                calls[judge.model] = calls.get(judge.model, 0) + judge.calls_per_item
        return calls

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Ask the cheap judges, and the last one if they are in doubt."""
        evaluations: list[Evaluation] = []
        for judge in self.cheap:
            value = await judge.evaluate(case, context)
            if isinstance(value, Skipped):
                if value.reason != CANNOT_BE_JUDGED:
                    return value
                break
            evaluations.append(value)
        kinds = {score.json_key: score.type for score in context.eval_record.output_scores}
        if len(evaluations) == len(self.cheap) and is_sure(
            [evaluation.values for evaluation in evaluations], kinds
        ):
            return _with_all_calls(evaluations[0], evaluations)
        if self.last is None:
            return Skipped(
                CANNOT_BE_JUDGED, "The cheap judges are in doubt, so a person is to decide."
            )
        value = await self.last.evaluate(case, context)
        return (
            value if isinstance(value, Skipped) else _with_all_calls(value, [*evaluations, value])
        )


def is_sure(values: Sequence[Mapping[str, float]], kinds: Mapping[str, str]) -> bool:
    """Return whether judges decide alike on each score, and none is between two decisions."""
    for key, kind in kinds.items():
        if len({decision_of(own[key], kind) for own in values}) > 1:
            return False
        shares = [to_unit_scale(own[key], kind) for own in values]
        if kind == "pass_fail" and any(_BORDER < share < 1 - _BORDER for share in shares):
            return False
    return True


def _with_all_calls(decision: Evaluation, evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return an evaluation with the calls and the time of all that were asked."""
    usage = ModelUsage(calls=0)
    for evaluation in evaluations:
        usage += evaluation.usage or ModelUsage(calls=0)
    return Evaluation(
        scores=decision.scores,
        verdict=decision.verdict,
        usage=usage,
        latency_s=sum(evaluation.latency_s for evaluation in evaluations),
        judge_client=decision.judge_client,
    )


_RECORDS: Final = TypeAdapter(list[EvalConfig])


def _open(record: EvalConfig) -> CascadeEvaluator:
    cascade = check_of(record, JudgeCascade)
    stages = [_open_judge(stage) for stage in _RECORDS.validate_python([*cascade.stages])]
    if cascade.judges[-1] == PERSON:
        return CascadeEvaluator(tuple(stages), None)
    return CascadeEvaluator(tuple(stages[:-1]), stages[-1])


def _open_judge(record: EvalConfig) -> Evaluator:
    kind = steps_judge if isinstance(record.properties, StepsJudge) else llm_judge
    return kind.KIND.open(record)


KIND = EvaluatorKind(TYPE, _open, CascadeDefinition)
