"""The items that versions of a judge are compared on: outputs with development labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from kiln_mcp.evals.eval_items import stored_case
from kiln_mcp.evaluators.scales import decision_of, distance_of
from kiln_mcp.judging.judge_versions import JudgeExample
from kiln_mcp.labels.golden_set import GoldenSet, read_outputs
from kiln_mcp.labels.label_words import label_text
from kiln_mcp.run_configs.item_templates import Case
from storage import ProjectStore, TaskRun


@dataclass(frozen=True, slots=True)
class ItemVerdict:
    """What a version says of an item.

    Attributes:
        scores: By their keys; empty if it abstained or gave no usable answer.
        reason: Its words.
    """

    scores: Mapping[str, float]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LabelledItem:
    """A stored output with a person's development labels.

    Attributes:
        run: The run that holds it.
        labels: The values by the score's key.
        kinds: The kinds of the labelled scores.
        reason: The person's reasons; "" if they gave none.
    """

    run: TaskRun
    labels: Mapping[str, float]
    kinds: Mapping[str, str]
    reason: str = ""

    @property
    def id(self) -> str:
        """Return the item's id."""
        return self.run.id

    @property
    def case(self) -> Case:
        """Return the output as a judge sees it."""
        return stored_case(self.run)

    def agreement(self, verdict: ItemVerdict) -> float:
        """Return the share of labels that a verdict agrees with; no verdict agrees with none."""
        return fmean(
            float(
                key in verdict.scores and decision_of(verdict.scores[key], self.kinds[key]) == label
            )
            for key, label in self.labels.items()
        )

    def loss(self, verdict: ItemVerdict) -> float:
        """Return the mean distance from the labels, from 0 to 1; 1 without a verdict."""
        return fmean(
            distance_of(verdict.scores[key], label, self.kinds[key])
            if key in verdict.scores
            else 1.0
            for key, label in self.labels.items()
        )

    @property
    def label_words(self) -> dict[str, str]:
        """Return the labels as people read them, by score key."""
        return {key: label_text(label, self.kinds[key]) for key, label in self.labels.items()}

    @property
    def example(self) -> JudgeExample:
        """Return the item as an example for a judge."""
        return JudgeExample(
            self.id, self.run.input, self.run.output.output, self.label_words, self.reason
        )


async def read_labelled_items(store: ProjectStore, golden_set: GoldenSet) -> list[LabelledItem]:
    """Return the complete outputs with development labels, in the order of their random ids.

    A label that calls each value defensible tells nothing of a judge and is left out.
    """
    labels: dict[str, dict[str, float]] = {}
    reasons: dict[str, list[str]] = {}
    for score in golden_set.scores:
        for item, label in golden_set.development_labels(score).items():
            if label.value is not None:
                labels.setdefault(item, {})[score.json_key] = label.value
                reasons.setdefault(item, []).append(label.reason)
    runs = await read_outputs(store, map(golden_set.item, labels))
    kinds = {score.json_key: score.type for score in golden_set.scores}
    return [
        LabelledItem(
            runs[item],
            own,
            {key: kinds[key] for key in own},
            " ".join(dict.fromkeys(filter(None, reasons[item]))),
        )
        for item, own in sorted(labels.items())
        if item in runs
    ]
