"""One reading of outputs that serves several evals of a task."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.ledger import JUDGED, Draw
from storage import EvalOutputScore, Task
from storage.index.results import RatedItem

RESERVATION: Final = timedelta(minutes=15)
"""How long an item that was shown to one rater is not drawn for another."""


@dataclass(frozen=True, slots=True)
class ScoreOfEval:
    """One score of one of the evals, with what a rater calls it.

    Attributes:
        golden_set: The eval's golden set.
        score: The score.
        name: Its key; with the eval's name if two evals have this key.
    """

    golden_set: GoldenSet
    score: EvalOutputScore
    name: str

    @property
    def names(self) -> frozenset[str]:
        """All that a rater may call it."""
        name, key = self.golden_set.task_eval.name, self.score.json_key
        return frozenset({self.name, key, self.score.name, name, f"{name}: {key}"})


@dataclass(frozen=True)
class LabellingPass:
    """The golden sets of evals of one task, whose items are labelled together.

    Attributes:
        golden_sets: Of each eval, the first one's first.
    """

    golden_sets: Sequence[GoldenSet]

    @property
    def first(self) -> GoldenSet:
        """The golden set of the first eval."""
        return self.golden_sets[0]

    @property
    def task(self) -> Task:
        """The task of all evals."""
        return self.first.task_eval.task

    @property
    def eval_names(self) -> list[str]:
        """The names of the evals."""
        return [golden_set.task_eval.name for golden_set in self.golden_sets]

    @cached_property
    def runs(self) -> dict[str, RatedItem]:
        """The items of all golden sets by id, those of the first eval first."""
        return {run.id: run for golden_set in self.golden_sets for run in golden_set.runs}

    @cached_property
    def scores(self) -> Sequence[ScoreOfEval]:
        """The scores of all evals."""
        keys = [score.json_key for golden_set in self.golden_sets for score in golden_set.scores]
        return [
            ScoreOfEval(
                golden_set,
                score,
                score.json_key
                if keys.count(score.json_key) == 1
                else f"{golden_set.task_eval.name}: {score.json_key}",
            )
            for golden_set in self.golden_sets
            for score in golden_set.scores
        ]

    @cached_property
    def complete(self) -> frozenset[str]:
        """The items that need no other label for any eval whose golden set holds them."""
        open_items = frozenset[str]().union(
            *(golden_set.ids - golden_set.complete for golden_set in self.golden_sets)
        )
        return frozenset(self.runs.keys() - open_items)

    def reserved_items(self, rater: str, time: datetime) -> frozenset[str]:
        """Return the items that were shown to another rater a short while ago."""
        return frozenset(
            item
            for draw in self.draws
            if rater and draw.rater and draw.rater != rater and time - draw.at < RESERVATION
            for item in draw.items
        )

    def skipped_items(self, rater: str) -> frozenset[str]:
        """Return the items that a rater has skipped by saying so."""
        return frozenset(
            label.item
            for golden_set in self.golden_sets
            for label in golden_set.labels
            if label.state == "skipped" and label.rater == rater
        )

    @property
    def draws(self) -> Iterator[Draw]:
        """The draws of all evals; one that serves several comes once for each."""
        return (draw for golden_set in self.golden_sets for draw in golden_set.draws)

    @cached_property
    def raters(self) -> frozenset[str]:
        """The raters who have labelled any item."""
        return frozenset(label.rater for gs in self.golden_sets for label in gs.labels)

    def count_skipped(self, *, certificate: bool) -> int:
        """Return how many items were drawn, passed over without a label, and drawn no more.

        Args:
            certificate: Whether those of a certificate are counted, or all others.
        """
        skipped: set[str] = set()
        for golden_set in self.golden_sets:
            labels = [label for label in golden_set.labels if label.state in JUDGED]
            labelled_items = {label.item for label in labels}
            draw_ids = {label.draw for label in labels}
            places = [n for n, draw in enumerate(golden_set.draws) if draw.id in draw_ids]
            skipped |= {
                item
                for draw in golden_set.draws[: max(places, default=0)]
                for item in draw.items
                if item not in labelled_items and (draw.purpose == "certificate") == certificate
            }
        return len(skipped)

    def count_redrawn(self) -> int:
        """Return how many items were drawn as new ones more than once."""
        draws = {draw.id: draw for draw in self.draws}
        counts = Counter(
            item
            for draw in draws.values()
            if draw.purpose in {"development", "certificate", "review"}
            for item in draw.items
        )
        return sum(count > 1 for count in counts.values())
