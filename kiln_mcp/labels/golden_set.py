"""The golden set of an eval: its items, labels, and verdicts of judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.datasets.counts import golden_runs
from kiln_mcp.evals.lookups import TaskEval
from kiln_mcp.evals.summaries import scores_by_item
from kiln_mcp.labels.errors import NothingToLabel
from kiln_mcp.labels.hygiene import GivenLabel
from kiln_mcp.labels.ledger import Draw, Label, LabelledVerdict, latest, read_draws, read_labels
from kiln_mcp.projects.runs.ratings import aspect_of, rating_of
from storage import EvalOutputScore, EvalRun, ProjectStore, TaskRun

UNJUDGED = "unjudged"
_SESSION_TAG = "synthetic_session_"


@dataclass(frozen=True, slots=True)
class Pool:
    """The golden set of an eval with everything known of its labels.

    Attributes:
        found: The eval and its task.
        runs: The golden items.
        labels: The ledger.
        draws: The draws so far.
        problems: A sentence for each line of the ledgers that cannot be read.
    """

    found: TaskEval
    runs: Sequence[TaskRun]
    labels: Sequence[Label]
    draws: Sequence[Draw]
    problems: Sequence[str] = ()

    @property
    def scores(self) -> tuple[EvalOutputScore, ...]:
        """Return the eval's scores."""
        return self.found.measured.output_scores

    def label(self, run: TaskRun, score: EvalOutputScore) -> float | None:
        """Return the label that counts for an item, None if there is none.

        A label that the person confirmed counts before the rating, which any program may change.
        """
        certified = self.certified(run, score)
        return certified.value if certified else self.rating(run, score)

    def rating(self, run: TaskRun, score: EvalOutputScore) -> float | None:
        """Return the rating that an item has in its record, None if there is none."""
        return rating_of(run, aspect_of(score, self.found.task))

    def certified(self, run: TaskRun, score: EvalOutputScore) -> Label | None:
        """Return the newest certificate label of an item that the person confirmed."""
        labels = (one for one in self.labels if (one.item, one.score) == (run.id, score.json_key))
        return max(
            (label for label in labels if label.certifies), key=lambda one: one.at, default=None
        )

    def unconfirmed(self, score: EvalOutputScore) -> int:
        """Return how many drawn items have labels of which the person confirmed none."""
        return sum(self._is_passed_on(run, score) for run in self.runs)

    def contradicted(self, score: EvalOutputScore) -> int:
        """Return how many ratings differ from the label that the person confirmed."""
        return sum(
            self.certified(run, score) is not None
            and self.rating(run, score) != self.label(run, score)
            for run in self.runs
        )

    def _is_passed_on(self, run: TaskRun, score: EvalOutputScore) -> bool:
        last = self.last_label(run, score)
        drawn = last is not None and last.draw is not None
        return drawn and self.certified(run, score) is None

    def labelled(self, score: EvalOutputScore) -> list[TaskRun]:
        """Return the items that have a label for a score."""
        return [run for run in self.runs if self.label(run, score) is not None]

    def complete(self) -> frozenset[str]:
        """Return the items that have a label for every score.

        A drawn item whose labels were passed on and not confirmed is not one of them.
        """
        return frozenset(
            run.id
            for run in self.runs
            if all(
                self.label(run, score) is not None and not self._is_passed_on(run, score)
                for score in self.scores
            )
        )

    def last_label(self, run: TaskRun, score: EvalOutputScore) -> Label | None:
        """Return the ledger's newest label of an item, None where it has none."""
        raters = latest(self.labels, score.json_key).get(run.id, {})
        return max(raters.values(), key=lambda label: label.at, default=None)

    def in_ledger(self, run: TaskRun, score: EvalOutputScore, ledger: str) -> bool:
        """Return whether an item's label belongs to a ledger; all but certificate's are of one."""
        certifies = self.certified(run, score) is not None
        return ledger == "all" or certifies == (ledger == "certificate")

    def given(self, runs: Sequence[TaskRun], score: EvalOutputScore) -> list[GivenLabel]:
        """Return the labels of items with the circumstances that they were given in."""
        found: list[GivenLabel] = []
        for run in runs:
            value, rating = self.label(run, score), run.output.rating
            last = self.certified(run, score) or self.last_label(run, score)
            at = last.at if last else rating.created_at if rating else None
            if value is None or at is None:
                continue
            found.append(
                GivenLabel(
                    value=value,
                    at=at,
                    seconds=last.seconds if last else None,
                    session=_session_of(run),
                )
            )
        return found

    def pairs(
        self, runs: Sequence[TaskRun], score: EvalOutputScore, verdicts: Mapping[str, float]
    ) -> list[LabelledVerdict]:
        """Return the items that have both a label and a verdict."""
        found: list[LabelledVerdict] = []
        for run in runs:
            value = self.label(run, score)
            if value is None or run.id not in verdicts:
                continue
            certified = self.certified(run, score)
            stratum = certified.stratum if certified else None
            found.append(LabelledVerdict(verdicts[run.id], value, stratum))
        return found

    def stratum_sizes(self, score: EvalOutputScore) -> Mapping[str, int] | None:
        """Return the sizes of the strata that labels were drawn from.

        None where nothing was drawn, or the draws were stratified by different judges.
        """
        used = {
            label.draw for label in self.labels if label.score == score.json_key and label.certifies
        }
        draws = [draw for draw in self.draws if draw.id in used and draw.ledger == "certificate"]
        if not draws or len({draw.evaluator for draw in draws}) > 1:
            return None
        return {name: stratum.size for name, stratum in draws[-1].strata.items()}


async def open_pool(store: ProjectStore, found: TaskEval) -> Pool:
    """Return the golden set of an eval.

    Raises:
        NothingToLabel: The eval has no golden set, or it is empty.
        storage.errors.StorageError: A ledger is no ordinary file.
    """
    filter_id = found.measured.eval_configs_filter_id
    if not filter_id:
        raise NothingToLabel(
            f"The eval {found.name!r} has no golden set: nothing says which runs people label."
        )
    runs = await golden_runs(store, found.task, found.measured)
    if not runs:
        raise NothingToLabel(
            f"The golden set of {found.name!r} is empty: no run fits {filter_id!r}. Generate "
            "outputs with that tag, good ones and bad ones, then call this again."
        )
    labels = await read_labels(store, found.measured)
    draws = await read_draws(store, found.measured)
    problems = (*labels.problems, *draws.problems)
    return Pool(found, runs, labels.entries, draws.entries, problems)


def strata_by_verdict(
    runs: Sequence[TaskRun], verdicts: Sequence[EvalRun], score: EvalOutputScore
) -> dict[str, list[str]]:
    """Return items by what a judge says of them: `pass`, `fail`, stars, or `unjudged`."""
    by_item = scores_by_item(verdicts, None, score.json_key)
    strata: dict[str, list[str]] = {}
    for run in runs:
        value = by_item.get(run.id)
        name = UNJUDGED if value is None else f"{score.json_key} {round(value)}"
        strata.setdefault(name, []).append(run.id)
    return strata


def _session_of(run: TaskRun) -> str | None:
    """Return the generation session of a run, None where it has no such tag."""
    return next((tag for tag in run.tags if tag.startswith(_SESSION_TAG)), None)
