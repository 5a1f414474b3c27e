"""Ask the judge that a changed spec makes about labelled outputs, before the spec is saved.

Labels that certify are left out: nobody learns from them, so that they stay blind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.evals.eval_items import stored_case
from kiln_mcp.evaluators.evaluator import EvaluationContext, Evaluator, Skipped
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.scales import to_unit_scale
from kiln_mcp.llm import Engine, ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.spec_texts.session_events import SpecSession
from kiln_mcp.spec_texts.spec_content import ExampleVerdict
from kiln_mcp.specs.review import ReviewedDraft, reviewed_drafts
from kiln_mcp.specs.spec_storage import compiled_judge, with_instruction
from kiln_mcp.specs.touched_labels import TouchedLabels, touched_labels
from storage import Eval, ProjectStore, Task

_ASKER = "specs/labels of a changed spec"
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class LabelTrial:
    """The labelled outputs of one changed spec, and the judge that its new text makes.

    Attributes:
        review: The draft with its labels.
        eval_record: Its eval, as saving would leave it.
        judge: The judge.
        labels: The labelled outputs that the change can flip.
    """

    review: ReviewedDraft
    eval_record: Eval
    judge: Evaluator
    labels: TouchedLabels

    @property
    def items(self) -> Sequence[str]:
        """The labelled outputs that the judge is asked about."""
        return self.labels.items

    @property
    def calls(self) -> int:
        """How often its model is asked."""
        return len(self.items) * self.judge.calls_per_item

    async def run(self, engine: Engine, task: Task) -> str:
        """Return which labels would flip, as a sentence.

        A label that gets no usable verdict is counted, and flips nothing.
        """
        context = EvaluationContext(engine, self.eval_record, task, _ASKER)
        verdicts: dict[str, ExampleVerdict] = {}

        async def judge(item: str) -> None:
            try:
                value = await self.judge.evaluate(stored_case(self.review.runs[item]), context)
            except (ModelError, EvalError):
                return
            score = self.review.score
            if not isinstance(value, Skipped) and score.json_key in value.values:
                share = to_unit_scale(value.values[score.json_key], score.type)
                verdicts[item] = ExampleVerdict.PASS if share >= 0.5 else ExampleVerdict.FAIL

        models = [self.judge.model] if self.judge.model else []
        await for_each(self.items, judge, engine.width(models))
        return self._sentence(verdicts)

    def _sentence(self, verdicts: Mapping[str, ExampleVerdict]) -> str:
        review = self.review
        flips = [
            i
            for i in self.items
            if verdicts.get(i, review.verdict_of(i)) is not review.verdict_of(i)
        ]
        lines = [
            f"run/{item}: labelled {review.verdict_of(item)}, now {verdicts[item]}"
            for item in flips[:_MOST_NAMED]
        ]
        if len(flips) > _MOST_NAMED:
            lines.append(f"{len(flips) - _MOST_NAMED} more")
        list_text = f": {'; '.join(lines)}" if lines else ""
        missing = len(self.items) - len(verdicts)
        rest = f" {missing} got no verdict." if missing else ""
        skipped = f" {self.labels.sentence}" if self.labels.sentence else ""
        return (
            f"{review.draft.content.name}: the judge of the changed text differs from {len(flips)} "
            f"of {len(verdicts)} labels{list_text}.{rest}{skipped}"
        )


async def plan_trials(
    store: ProjectStore, task: Task, session: SpecSession, model: str
) -> list[LabelTrial]:
    """Return what the changed drafts of a session would be tried on.

    Args:
        store: The project.
        task: The task.
        session: The session.
        model: The judge's model.
    """
    changed = [draft for draft in session.open_drafts if draft.eval_id and not draft.is_saved]
    trials: list[LabelTrial] = []
    for review in await reviewed_drafts(store, task, changed):
        content = review.draft.content
        saved = session.saved_draft(review.draft.id)
        labels = await touched_labels(store, task, review, saved)
        eval_record = with_instruction(review.golden_set.task_eval.eval_record, content)
        judge = evaluator_of(await compiled_judge(content.name, content, model))
        if labels.items:
            trials.append(LabelTrial(review, eval_record, judge, labels))
    return trials
