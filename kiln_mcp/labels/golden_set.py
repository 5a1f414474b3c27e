"""The golden set of an eval: its items, labels, and verdicts of judges."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kiln_mcp.datasets.counts import count_matches, golden_items
from kiln_mcp.datasets.rating_criteria import RatingCriterion, criterion_of, rating_in
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.labels.hygiene import TimedLabel
from kiln_mcp.labels.ledger import (
    JUDGED,
    Draw,
    Label,
    State,
    latest,
    read_draws,
    read_labels,
)
from storage import EvalOutputScore, ProjectStore, TaskRun
from storage.errors import NextStep, Refusal
from storage.index.results import RatedItem

WITHOUT_VERDICT = "unjudged"
"""The stratum of items that the judge has no verdict of; the name stands in users' files."""


@dataclass(frozen=True, slots=True)
class DevelopmentLabel:
    """A label that specs and judges may learn from.

    Attributes:
        value: On the score's scale; None if each value can be defended.
        event: The ledger's label; None for a rating that another program wrote.
    """

    value: float | None
    event: Label | None

    @property
    def reason(self) -> str:
        """Why, in the rater's words; empty if they gave no reason."""
        return self.event.reason if self.event else ""


@dataclass(frozen=True)
class GoldenSet:
    """The golden set of an eval with its labels and draws.

    Attributes:
        task_eval: The eval and its task.
        runs: The golden items, whose records are not read.
        labels: The ledger.
        draws: The draws so far.
        problems: A sentence for each line of the ledger that cannot be read.
        incomplete_count: Answers with the golden tag that are cut off or refused, and so no items.
    """

    task_eval: TaskEval
    runs: Sequence[RatedItem]
    labels: Sequence[Label]
    draws: Sequence[Draw]
    problems: Sequence[str] = ()
    incomplete_count: int = 0

    @property
    def scores(self) -> tuple[EvalOutputScore, ...]:
        """Return the eval's scores."""
        return self.task_eval.eval_record.output_scores

    @cached_property
    def ids(self) -> frozenset[str]:
        """The ids of the items."""
        return frozenset(run.id for run in self.runs)

    @cached_property
    def _runs_by_id(self) -> Mapping[str, RatedItem]:
        return {run.id: run for run in self.runs}

    def item(self, item_id: str) -> RatedItem:
        """Return an item by its id.

        Raises:
            KeyError: The golden set has none of this id.
        """
        return self._runs_by_id[item_id]

    @cached_property
    def _criteria(self) -> Mapping[str, RatingCriterion]:
        """What people rate by for each score."""
        return {score.json_key: criterion_of(score, self.task_eval.task) for score in self.scores}

    @cached_property
    def _certificate_labels(self) -> Mapping[tuple[str, str], Label]:
        """The first confirmed certificate label, by item and score: a later change is no label."""
        first: dict[tuple[str, str], Label] = {}
        for label in self.labels:
            key = (label.item, label.score)
            if label.certifies and (key not in first or label.at < first[key].at):
                first[key] = label
        return first

    @cached_property
    def _last_labels(self) -> Mapping[tuple[str, str], Label]:
        """The newest label, by item and score."""
        return {
            (item, score): max(raters.values(), key=lambda label: label.at)
            for score in dict.fromkeys(label.score for label in self.labels)
            for item, raters in latest(self.labels, score).items()
            if raters
        }

    @cached_property
    def _other_draws(self) -> frozenset[str]:
        """The ids of draws that are not for a certificate."""
        return frozenset(draw.id for draw in self.draws if draw.purpose != "certificate")

    @cached_property
    def _hidden_keys(self) -> frozenset[tuple[str, str]]:
        """The items and scores with a label for a certificate, confirmed or not."""
        return frozenset(
            (label.item, label.score)
            for label in self.labels
            if label.state in JUDGED and (label.purpose == "certificate" or self.waits(label))
        )

    def waits(self, label: Label) -> bool:
        """Return whether a label was drawn for a certificate and nobody confirmed it."""
        is_of_draw = label.draw is not None and label.draw not in self._other_draws
        return is_of_draw and not label.confirmed and label.purpose == "development"

    def label(self, run: RatedItem, score: EvalOutputScore) -> float | None:
        """Return the value of the label that counts for an item; None if there is none.

        A label that the person confirmed counts before the rating, which any program may change.
        """
        certificate = self.certificate_label(run, score)
        return certificate.value if certificate else self.rating(run, score)

    def state(self, run: RatedItem, score: EvalOutputScore) -> State | None:
        """Return what the label that counts for an item says; None if there is none."""
        return self._states[score.json_key].get(run.id)

    @cached_property
    def _states(self) -> Mapping[str, Mapping[str, State]]:
        """What the label that counts says, by score and item; most of many items have none."""
        in_ledger = {label.item for label in self.labels}
        runs = [r for r in self.runs if r.ratings or r.rating is not None or r.id in in_ledger]
        return {
            score.json_key: {
                run.id: state for run in runs if (state := self._state(run, score)) is not None
            }
            for score in self.scores
        }

    def _state(self, run: RatedItem, score: EvalOutputScore) -> State | None:
        certificate = self.certificate_label(run, score)
        if certificate is not None:
            return certificate.state
        if self.rating(run, score) is not None:
            return "value"
        last = self.last_label(run, score)
        # A value without its rating: somebody has taken the rating away.
        return None if last is None or last.state == "value" else last.state

    def rating(self, run: RatedItem, score: EvalOutputScore) -> float | None:
        """Return the rating that an item has in its record; None if there is none."""
        return rating_in(run.rating, run.ratings, self._criteria[score.json_key])

    def certificate_label(self, run: RatedItem, score: EvalOutputScore) -> Label | None:
        """Return the first certificate label of an item that the person confirmed."""
        return self._certificate_labels.get((run.id, score.json_key))

    def is_hidden(self, run: RatedItem, score: EvalOutputScore) -> bool:
        """Return whether an item has a label for a certificate, which nothing may learn from."""
        return (run.id, score.json_key) in self._hidden_keys

    def development_labels(self, score: EvalOutputScore) -> dict[str, DevelopmentLabel]:
        """Return the labels that specs and judges may learn from, by item.

        An item with a label for a certificate has none, and neither has one that cannot be judged.
        """
        labels: dict[str, DevelopmentLabel] = {}
        for run in self.runs:
            state = self.state(run, score)
            if state not in {"value", "both"} or self.is_hidden(run, score):
                continue
            value, last = self.rating(run, score), self.last_label(run, score)
            is_of_ledger = last is not None and last.value == value
            labels[run.id] = DevelopmentLabel(value, last if is_of_ledger else None)
        return labels

    def count_unconfirmed(self, score: EvalOutputScore) -> int:
        """Return how many items drawn for a certificate have labels that nobody confirmed."""
        return len(self._unconfirmed_items[score.json_key])

    def count_contradictions(self, score: EvalOutputScore) -> int:
        """Return how many ratings differ from the label that the person confirmed."""
        return sum(
            self.certificate_label(run, score) is not None
            and self.rating(run, score) not in {None, self.label(run, score)}
            for run in self.runs
        )

    @cached_property
    def _unconfirmed_items(self) -> Mapping[str, frozenset[str]]:
        """The items that were drawn for a certificate and nobody confirmed, by score."""
        waiting = {
            key
            for key, label in self._last_labels.items()
            if key not in self._certificate_labels and self.waits(label)
        }
        return {
            score.json_key: self.ids & {item for item, key in waiting if key == score.json_key}
            for score in self.scores
        }

    def labelled_runs(self, score: EvalOutputScore) -> list[RatedItem]:
        """Return the items with a value, or for which each value can be defended."""
        states = self._states[score.json_key]
        return [run for run in self.runs if states.get(run.id) in {"value", "both"}]

    @cached_property
    def complete(self) -> frozenset[str]:
        """The items that need no other label of any score.

        A drawn item whose labels were passed on and not confirmed is not one of them.
        """
        complete = self.ids
        for score in self.scores:
            states = self._states[score.json_key]
            complete &= {item for item, state in states.items() if state in JUDGED}
            complete -= self._unconfirmed_items[score.json_key]
        return complete

    def last_label(self, run: RatedItem, score: EvalOutputScore) -> Label | None:
        """Return the ledger's newest label of an item; None if it has none."""
        return self._last_labels.get((run.id, score.json_key))

    def has_purpose(self, run: RatedItem, score: EvalOutputScore, purpose: str) -> bool:
        """Return whether an item's label has a purpose.

        Every label that is not for the certificate is for development.
        """
        certifies = self.certificate_label(run, score) is not None
        return purpose == "all" or certifies == (purpose == "certificate")

    def timed_labels(self, runs: Sequence[RatedItem], score: EvalOutputScore) -> list[TimedLabel]:
        """Return the labels of items with their times and the items' sessions."""
        labels: list[TimedLabel] = []
        for run in runs:
            value = self.label(run, score)
            last = self.certificate_label(run, score) or self.last_label(run, score)
            at = last.at if last else run.rated_at
            if value is None or at is None:
                continue
            labels.append(
                TimedLabel(
                    value=value,
                    at=at,
                    seconds=last.seconds if last else None,
                    session=run.tag,
                )
            )
        return labels


async def open_golden_set(
    store: ProjectStore, task_eval: TaskEval, *, may_be_empty: bool = False
) -> GoldenSet:
    """Return the golden set of an eval.

    Raises:
        Refusal: The eval has no golden set, or it is empty.
        storage.errors.StorageError: The ledger is no ordinary file.
    """
    filter_id = task_eval.eval_record.eval_configs_filter_id
    if not filter_id:
        raise Refusal(
            "The eval '{name}' has no golden set: it has no filter for the runs that people label. "
            "Set that filter in Kiln, or create another eval.",
            name=task_eval.name,
            next=[
                NextStep(
                    tool="create_evaluator",
                    reason="create an `eval` with golden_filter, such as 'tag::golden'",
                )
            ],
        )
    runs = await golden_items(store, task_eval.task, task_eval.eval_record)
    count = await count_matches(store, task_eval.task, task_eval.eval_record)
    if not runs and not may_be_empty:
        raise Refusal(
            "The golden set of '{name}' is empty: no run with a complete answer fits '{filter}'. "
            "Give that tag to good outputs and to bad ones, then call this again.",
            name=task_eval.name,
            filter=filter_id,
            next=[NextStep(tool="mark_runs", reason="give outputs that tag, as `add_tags`")],
        )
    labels = await read_labels(store, task_eval.eval_record)
    draws = await read_draws(store, task_eval.eval_record)
    problems = (*labels.problems, *draws.problems)
    return GoldenSet(task_eval, runs, labels.entries, draws.entries, problems, count - len(runs))


async def read_outputs(store: ProjectStore, runs: Iterable[RatedItem]) -> dict[str, TaskRun]:
    """Return the records of items by their ids, less those that cannot be read."""
    records = await store.read_all(TaskRun, [run.path for run in runs])
    return {record.id: record for record in records.values()}


def strata_by_verdict(
    runs: Sequence[RatedItem], by_item: Mapping[str, float], score: EvalOutputScore
) -> dict[str, list[str]]:
    """Return items by a judge's verdict of them: the score's key and value, or `unjudged`."""
    by_value = defaultdict[float | None, list[str]](list)
    for run in runs:
        by_value[by_item.get(run.id)].append(run.id)
    strata: dict[str, list[str]] = {}
    for value, ids in by_value.items():
        name = WITHOUT_VERDICT if value is None else f"{score.json_key} {round(value)}"
        strata.setdefault(name, []).extend(ids)
    return strata
