"""Counts of the items of a task's evals; what several evals share is counted once."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from kiln_mcp.datasets.counts import count_golden, count_items, golden_ids, golden_ratings
from kiln_mcp.datasets.rating_criteria import RatingCriterion, criterion_of
from storage import Eval, ProjectStore, Task
from storage.index.results import OVERALL, RatingsByKey


@dataclass(frozen=True, slots=True)
class GoldenCounts:
    """The counts of one golden set.

    Attributes:
        items: How many items it has.
        rated_items: Those with a rating for every score of the eval, or a label for a certificate.
        is_one_sided: Whether these are ratings, and all alike.
    """

    items: int
    rated_items: int
    is_one_sided: bool


class ItemCounts:
    """Counts the items of a task's evals, as its index has them when they are first asked for.

    Args:
        store: The open project.
        task: The task.
    """

    def __init__(self, store: ProjectStore, task: Task) -> None:
        self._store = store
        self._task = task
        self._test: dict[object, int] = {}
        self._golden: dict[str | None, int] = {}
        self._ratings: dict[str | None, RatingsByKey] = {}
        self._ids: dict[str | None, Mapping[int, str]] = {}

    async def test_items(self, record: Eval) -> int:
        """Return how many items the test part of an eval has."""
        part = record.part("test")
        key = None if part is None else (type(part), part.filter_id)
        if key not in self._test:
            self._test[key] = await count_items(self._store, self._task, record, "test")
        return self._test[key]

    async def golden(self, record: Eval, certificate_items: AbstractSet[str]) -> GoldenCounts:
        """Return the counts of an eval's golden set; none if its filter is unknown.

        Args:
            record: The eval.
            certificate_items: The items that have a confirmed label for a certificate.
        """
        key = record.eval_configs_filter_id
        if key not in self._golden:
            self._golden[key] = await count_golden(self._store, self._task, record)
            self._ratings[key] = await golden_ratings(self._store, self._task, record)
        criteria = [criterion_of(score, self._task) for score in record.output_scores]
        complete = _complete_ratings(self._ratings[key], criteria)
        # Labels for a certificate are no ratings, and nobody counts which way they went.
        labels = await self._certificate_count(record, complete.keys(), certificate_items)
        is_one_sided = not labels and len(complete) > 1 and len(set(complete.values())) == 1
        return GoldenCounts(self._golden[key], len(complete) + labels, is_one_sided)

    async def _certificate_count(
        self, record: Eval, rated_rows: AbstractSet[int], items: AbstractSet[str]
    ) -> int:
        """Return how many items of a golden set are among some and have no complete rating."""
        if not items:
            return 0
        key = record.eval_configs_filter_id
        if key not in self._ids:
            self._ids[key] = await golden_ids(self._store, self._task, record)
        return sum(row not in rated_rows and item in items for row, item in self._ids[key].items())


def _complete_ratings(
    ratings: RatingsByKey, criteria: Sequence[RatingCriterion]
) -> dict[int, tuple[float, ...]]:
    """Return the ratings of the items with one for every criterion, by their rows."""
    columns = [_ratings_by(ratings, criterion) for criterion in criteria]
    first, *other_columns = columns or [{}]
    return {
        row: (value, *(column[row] for column in other_columns))
        for row, value in first.items()
        if all(row in column for column in other_columns)
    }


def _ratings_by(ratings: RatingsByKey, criterion: RatingCriterion) -> Mapping[int, float]:
    """Return the ratings by a criterion; of several of one item the first key's counts."""
    keys = criterion.keys or (OVERALL,)
    own = [ratings[key] for key in keys if key in ratings]
    if len(own) < 2:
        return own[0] if own else {}
    return {row: value for column in reversed(own) for row, value in column.items()}
