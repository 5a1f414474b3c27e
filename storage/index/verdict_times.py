"""Query the verdicts of an evaluator with the times when they were given."""

from typing import Final, LiteralString, NamedTuple, cast

from storage.index.queries import IndexReader
from storage.index.rows import SqlValue

_TIMED_VERDICTS: Final[LiteralString] = """
SELECT results.item_id, results.sample, results.verdict, records.created_us, scores.value
FROM results CROSS JOIN scores ON scores.row = results.row AND scores.key = :key
    CROSS JOIN records ON records.row = results.row
WHERE results.evaluator = :evaluator AND results.run_config_id = :run_config_id
    AND NOT results.is_skipped AND results.item_id <> ''
ORDER BY records.created_us, records.id
"""


class TimedVerdict(NamedTuple):
    """One score in one verdict of an output, and when it was given.

    Attributes:
        item_id: The item.
        sample: Which of the outputs of the item.
        verdict: Which of the verdicts of the output.
        at_us: In microseconds since 1970.
        value: On the scale of the score.
    """

    item_id: str
    sample: int
    verdict: int
    at_us: int
    value: float


async def timed_verdicts(
    index: IndexReader, evaluator: str, run_config_id: str, key: str
) -> list[TimedVerdict]:
    """Return one score of a run config in each verdict, the oldest first."""
    values: dict[str, SqlValue] = {
        "evaluator": await index.number_of(evaluator),
        "run_config_id": run_config_id,
        "key": key,
    }
    rows = cast("list[tuple[str, int, int, int, float]]", await index.rows(_TIMED_VERDICTS, values))
    return list(map(TimedVerdict._make, rows))
