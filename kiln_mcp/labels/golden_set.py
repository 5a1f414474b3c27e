"""The golden set of an eval: its items, labels, and verdicts of judges."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kiln_mcp.datasets.counts import count_incomplete, golden_items
from kiln_mcp.datasets.rating_criteria import RatingCriterion, criterion_of, rating_in
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.labels.hygiene import TimedLabel
from kiln_mcp.labels.ledger import Draw, Label, LabelledVerdict, latest, read_draws, read_labels
from storage import EvalOutputScore, ProjectStore, TaskRun
from storage.errors import NextStep, Refusal
from storage.index.results import RatedItem

WITHOUT_VERDICT = "unjudged"
"""The stratum of items that the judge has no verdict of; the name stands in users' files."""


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
    def _criteria(self) -> Mapping[str, RatingCriterion]:
        """What people rate by for each score."""
        return {score.json_key: criterion_of(score, self.task_eval.task) for score in self.scores}

    @cached_property
    def _certificate_labels(self) -> Mapping[tuple[str, str], Label]:
        """The newest confirmed certificate label, by item and score."""
        newest: dict[tuple[str, str], Label] = {}
        for label in self.labels:
            key = (label.item, label.score)
            if label.certifies and (key not in newest or label.at > newest[key].at):
                newest[key] = label
        return newest

    @cached_property
    def _last_labels(self) -> Mapping[tuple[str, str], Label]:
        """The newest label, by item and score."""
        return {
            (item, score): max(raters.values(), key=lambda label: label.at)
            for score in dict.fromkeys(label.score for label in self.labels)
            for item, raters in latest(self.labels, score).items()
        }

    def label(self, run: RatedItem, score: EvalOutputScore) -> float | None:
        """Return the label that counts for an item; None if there is none.

        A label that the person confirmed counts before the rating, which any program may change.
        """
        certificate = self.certificate_label(run, score)
        return certificate.value if certificate else self.rating(run, score)

    def rating(self, run: RatedItem, score: EvalOutputScore) -> float | None:
        """Return the rating that an item has in its record; None if there is none."""
        return rating_in(run.rating, run.ratings, self._criteria[score.json_key])

    def certificate_label(self, run: RatedItem, score: EvalOutputScore) -> Label | None:
        """Return the newest certificate label of an item that the person confirmed."""
        return self._certificate_labels.get((run.id, score.json_key))

    def count_unconfirmed(self, score: EvalOutputScore) -> int:
        """Return how many drawn items have labels of which the person confirmed none."""
        return sum(self._is_unconfirmed(run, score) for run in self.runs)

    def count_contradictions(self, score: EvalOutputScore) -> int:
        """Return how many ratings differ from the label that the person confirmed."""
        return sum(
            self.certificate_label(run, score) is not None
            and self.rating(run, score) != self.label(run, score)
            for run in self.runs
        )

    def _is_unconfirmed(self, run: RatedItem, score: EvalOutputScore) -> bool:
        last = self.last_label(run, score)
        is_of_draw = last is not None and last.draw is not None
        return is_of_draw and self.certificate_label(run, score) is None

    def labelled_runs(self, score: EvalOutputScore) -> list[RatedItem]:
        """Return the items that have a label for a score."""
        return [run for run in self.runs if self.label(run, score) is not None]

    @cached_property
    def complete(self) -> frozenset[str]:
        """The items that have a label for every score.

        A drawn item whose labels were passed on and not confirmed is not one of them.
        """
        complete = {run.id for run in self.runs}
        for score in self.scores:
            complete &= {
                run.id
                for run in self.runs
                if self.label(run, score) is not None and not self._is_unconfirmed(run, score)
            }
        return frozenset(complete)

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

    def pairs(
        self, runs: Sequence[RatedItem], score: EvalOutputScore, verdicts: Mapping[str, float]
    ) -> list[LabelledVerdict]:
        """Return the items that have both a label and a verdict."""
        pairs: list[LabelledVerdict] = []
        for run in runs:
            value = self.label(run, score)
            if value is None or run.id not in verdicts:
                continue
            certificate = self.certificate_label(run, score)
            stratum = certificate.stratum if certificate else None
            pairs.append(LabelledVerdict(verdicts[run.id], value, stratum))
        return pairs

    def stratum_sizes(self, score: EvalOutputScore) -> Mapping[str, int] | None:
        """Return the sizes of the strata that labels were drawn from.

        None if nothing was drawn, or if the draws were stratified by different judges.
        """
        ids = {
            label.draw for label in self.labels if label.score == score.json_key and label.certifies
        }
        draws = [draw for draw in self.draws if draw.id in ids and draw.purpose == "certificate"]
        if not draws or len({draw.evaluator for draw in draws}) > 1:
            return None
        return {name: stratum.size for name, stratum in draws[-1].strata.items()}


async def open_golden_set(store: ProjectStore, task_eval: TaskEval) -> GoldenSet:
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
                    reason="create an eval with golden_filter, such as 'tag::golden'",
                )
            ],
        )
    runs = await golden_items(store, task_eval.task, task_eval.eval_record)
    incomplete_count = await count_incomplete(store, task_eval.task, task_eval.eval_record)
    if not runs:
        raise Refusal(
            "The golden set of '{name}' is empty: no run with a complete answer fits '{filter}'. "
            "Give that tag to good outputs and to bad ones, then call this again.",
            name=task_eval.name,
            filter=filter_id,
            next=[NextStep(tool="mark_runs", reason="give outputs that tag")],
        )
    labels = await read_labels(store, task_eval.eval_record)
    draws = await read_draws(store, task_eval.eval_record)
    problems = (*labels.problems, *draws.problems)
    return GoldenSet(task_eval, runs, labels.entries, draws.entries, problems, incomplete_count)


async def read_golden_runs(
    store: ProjectStore, golden_set: GoldenSet, items: Iterable[str]
) -> dict[str, TaskRun]:
    """Return the records of some golden items by their ids, less those that cannot be read."""
    ids = frozenset(items)
    records = await store.read_all(TaskRun, [run.path for run in golden_set.runs if run.id in ids])
    return {record.id: record for record in records.values()}


def strata_by_verdict(
    runs: Sequence[RatedItem], by_item: Mapping[str, float], score: EvalOutputScore
) -> dict[str, list[str]]:
    """Return items by a judge's verdict of them: the score's key and value, or `unjudged`."""
    strata: dict[str, list[str]] = {}
    for run in runs:
        value = by_item.get(run.id)
        name = WITHOUT_VERDICT if value is None else f"{score.json_key} {round(value)}"
        strata.setdefault(name, []).append(run.id)
    return strata
