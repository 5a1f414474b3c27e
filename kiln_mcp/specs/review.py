"""What a person's labels say of a session's saved specs: new examples, agreement, flips.

Labels of the informative half of a review, and others for development, become examples. Those of
the random half take no part: they tell how far the judge agrees with the person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.scales import to_unit_scale
from kiln_mcp.evaluators.spec_judges import source_of
from kiln_mcp.evaluators.verdict_matrix import read_verdict_matrix
from kiln_mcp.labels.golden_set import DevelopmentLabel, GoldenSet, open_golden_set, read_outputs
from kiln_mcp.labels.ledger import AT_RANDOM
from kiln_mcp.labels.reviews import agreement_in_review, agreement_sentence
from kiln_mcp.spec_texts.session_events import Draft
from kiln_mcp.spec_texts.spec_content import ExampleVerdict, Origin, SpecExample
from kiln_mcp.specs.revisions import PERSON, Reason, Revision
from kiln_mcp.statistics.review_draws import ReviewAgreement
from storage import Eval, EvalConfig, EvalOutputScore, ProjectStore, Task, TaskRun

MOST_EXAMPLES: Final = 6
"""The most labels of one review that become examples of a spec."""
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ReviewedDraft:
    """A saved draft with the labels and verdicts of its eval.

    Attributes:
        draft: The draft.
        golden_set: The labels.
        score: The score that the spec is.
        verdicts: The current judge's verdicts of stored outputs.
        compiled_at: When that judge was compiled.
        runs: The labelled outputs, by run.
        judge_model: The model of the current judge; None if there is none.
    """

    draft: Draft
    golden_set: GoldenSet
    score: EvalOutputScore
    verdicts: Mapping[str, float] = field(default_factory=dict[str, float])
    compiled_at: datetime = _BEGINNING
    runs: Mapping[str, TaskRun] = field(default_factory=dict[str, TaskRun])
    judge_model: str | None = None

    @property
    def labels(self) -> Mapping[str, DevelopmentLabel]:
        """The labels that specs may learn from, with a value."""
        labels = self.golden_set.development_labels(self.score)
        return {item: label for item, label in labels.items() if label.value is not None}

    def verdict_of(self, item: str) -> ExampleVerdict:
        """Return what the person said of an item."""
        value = self.labels[item].value
        passes = value is not None and to_unit_scale(value, self.score.type) >= 0.5
        return ExampleVerdict.PASS if passes else ExampleVerdict.FAIL

    @property
    def teaching_items(self) -> list[str]:
        """The labels to learn from: with a reason, or unlike the judge; none drawn at random."""
        sources = {example.origin.source for example in self.draft.content.examples}
        items: list[str] = []
        for item, label in self.labels.items():
            if item in sources or _is_random(label) or item not in self.runs:
                continue
            if label.reason or self._differs(item):
                items.append(item)
        return sorted(items, key=lambda item: not self._differs(item))[:MOST_EXAMPLES]

    def is_corrected(self, example: SpecExample, changed_at: datetime | None) -> bool:
        """Whether a label contradicts the example that was made of it, and is newer.

        Args:
            example: An example of the draft.
            changed_at: When it was last changed; None if nobody knows.
        """
        item = example.origin.source
        label = self.labels.get(item)
        if label is None or label.event is None or changed_at is None or item not in self.runs:
            return False
        if _is_random(label):
            return False
        return label.event.at > changed_at and self.verdict_of(item) is not example.verdict

    def _differs(self, item: str) -> bool:
        value = self.verdicts.get(item)
        if value is None:
            return False
        is_pass = to_unit_scale(value, self.score.type) >= 0.5
        return is_pass != (self.verdict_of(item) is ExampleVerdict.PASS)

    def agreement(self, goal: float) -> ReviewAgreement:
        """Return how far the judge agrees with labels that took no part in making it.

        Args:
            goal: The agreement that the person asks for.
        """
        return agreement_in_review(
            self.golden_set, self.score, self.verdicts, self.compiled_at, goal
        )

    def agreement_sentence(self, agreement: ReviewAgreement) -> str:
        """Return in words how far the judge agrees."""
        if not agreement.labels:
            return (
                f"{self.draft.content.name}: no label drawn at random has a verdict of the judge "
                "yet; measuring the judge asks it."
            )
        name = f"The judge of {self.draft.content.name!r}"
        return agreement_sentence(name, agreement, len(self.golden_set.ids))

    @property
    def flips(self) -> list[str]:
        """The labels that the spec now contradicts: those of its examples with another verdict."""
        verdicts = {example.output: example.verdict for example in self.draft.content.examples}
        return [
            f"run/{item}: labelled {self.verdict_of(item)}, now {verdicts[run.output.output]}"
            for item, run in self.runs.items()
            if verdicts.get(run.output.output, self.verdict_of(item)) is not self.verdict_of(item)
        ]


def _is_random(label: DevelopmentLabel) -> bool:
    return label.event is not None and label.event.stratum == AT_RANDOM


async def reviewed_drafts(
    store: ProjectStore, task: Task, drafts: Sequence[Draft]
) -> list[ReviewedDraft]:
    """Return the drafts whose eval has labels, with these and the verdicts of the judge."""
    reviews: list[ReviewedDraft] = []
    evals = {record.id: record for record in await store.children(task, Eval)}
    for draft in drafts:
        record = evals.get(draft.eval_id or "")
        if record is None or not record.eval_configs_filter_id:
            continue
        golden_set = await open_golden_set(store, TaskEval(task, record), may_be_empty=True)
        review = ReviewedDraft(draft, golden_set, record.output_scores[0])
        if review.labels:
            reviews.append(await _with_judge(store, record, review))
    return reviews


async def _with_judge(store: ProjectStore, record: Eval, review: ReviewedDraft) -> ReviewedDraft:
    runs = await read_outputs(store, [review.golden_set.item(id) for id in review.labels])
    verdicts: Mapping[str, float] = {}
    compiled_at, model = _BEGINNING, None
    for judge in await store.children(record, EvalConfig):
        if judge.id != record.current_config_id:
            continue
        matrix = await read_verdict_matrix(store, record, [judge])
        member = matrix.member(judge.id)
        verdicts = matrix.column(member, review.score.json_key) if member else {}
        source = await source_of(store, judge)
        compiled_at = source.at if source else judge.created_at
        model = evaluator_of(judge).model
    return replace(review, verdicts=verdicts, compiled_at=compiled_at, runs=runs, judge_model=model)


def learn(revision: Revision, review: ReviewedDraft) -> None:
    """Make examples of the labels that teach, once each, and correct those of changed labels."""
    draft_id = review.draft.id
    edits = revision.session.edits.values()
    used_items = {edit.source for edit in edits if edit.draft == draft_id}
    for item in review.teaching_items:
        if item not in used_items:  # the person may have removed what it taught
            _set_example(revision, review, item, revision.new_example_id(draft_id))
    for example in review.draft.content.examples:
        item = example.origin.source
        if review.is_corrected(example, revision.session.changed_at(draft_id, example.id)):
            _set_example(revision, review, item, example.id)


def _set_example(revision: Revision, review: ReviewedDraft, item: str, id: str) -> None:
    run, label = review.runs[item], review.labels[item]
    verdict = review.verdict_of(item)
    origin = Origin(PERSON, item)
    example = SpecExample(id, run.output.output, verdict, origin, run.input, "", label.reason)
    words = label.reason or f"The person labelled it {verdict}."
    revision.set_example(review.draft.id, example, Reason(words, PERSON, item))
