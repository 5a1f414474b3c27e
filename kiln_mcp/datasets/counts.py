"""How many items a dataset's parts have."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from kiln_mcp.datasets.items import items_in
from kiln_mcp.datasets.parts import tag_filter
from storage import Eval, EvalInputSplit, ProjectStore, Task, TaskRunSplit
from storage.format.filters import is_filter, is_input_filter
from storage.index.queries import RunQuery
from storage.index.results import RatedItem, RatingsByKey, ids_by_row, rated_items, ratings_by_key

SESSION_TAG: Final = "synthetic_session_"
"""What the tags of generation sessions begin with."""


async def count_items(store: ProjectStore, task: Task, eval_record: Eval, part: str) -> int:
    """Return how many items a part of an eval's data has, such as `test`.

    A filter that is not known here, such as one of a newer Kiln, has none.
    """
    part_filter = eval_record.part(part)
    if part_filter is None or not is_known_filter(part_filter):
        return 0
    if isinstance(part_filter, EvalInputSplit):
        return len(await items_in(store, task, part_filter))
    return await store.count_runs(task, RunQuery(part_filter.filter_id, is_from_eval=False))


async def count_golden(store: ProjectStore, task: Task, eval_record: Eval) -> int:
    """Return how many items the golden set of an eval has; 0 if its filter is unknown."""
    filter_id = eval_record.eval_configs_filter_id
    if filter_id is None or not is_filter(filter_id):
        return 0
    return await store.count_runs(task, _golden_query(filter_id))


async def count_matches(store: ProjectStore, task: Task, eval_record: Eval) -> int:
    """Return how many runs the filter of a golden set finds, with answers that are not complete."""
    filter_id = eval_record.eval_configs_filter_id
    if filter_id is None or not is_filter(filter_id):
        return 0
    return await store.count_runs(task, replace(_golden_query(filter_id), is_complete=False))


async def golden_items(store: ProjectStore, task: Task, eval_record: Eval) -> list[RatedItem]:
    """Return the golden set of an eval, the oldest first; empty if its filter is unknown.

    The tag of an item is that of its generation session. Answers that are not complete are left
    out: nobody can label them, and no judge is asked about them.
    """
    filter_id = eval_record.eval_configs_filter_id
    if filter_id is None or not is_filter(filter_id):
        return []
    query, path = _golden_query(filter_id), task.saved.path
    return await store.ask(lambda index: rated_items(index, path, query, SESSION_TAG))


async def golden_ratings(store: ProjectStore, task: Task, eval_record: Eval) -> RatingsByKey:
    """Return people's ratings of the golden set of an eval; none if its filter is unknown."""
    filter_id = eval_record.eval_configs_filter_id
    if filter_id is None or not is_filter(filter_id):
        return {}
    query, path = _golden_query(filter_id), task.saved.path
    return await store.ask(lambda index: ratings_by_key(index, path, query))


async def golden_ids(store: ProjectStore, task: Task, eval_record: Eval) -> Mapping[int, str]:
    """Return the ids of the golden set of an eval by their rows; none if its filter is unknown."""
    filter_id = eval_record.eval_configs_filter_id
    if filter_id is None or not is_filter(filter_id):
        return {}
    query, path = _golden_query(filter_id), task.saved.path
    return await store.ask(lambda index: ids_by_row(index, path, query))


def _golden_query(filter_id: str) -> RunQuery:
    """Return the query of a golden set; outputs that evals made are in it if they have its tag."""
    is_tag = filter_id.startswith(tag_filter(""))
    return RunQuery(filter_id, is_from_eval=None if is_tag else False, is_complete=True)


def is_known_filter(part_filter: TaskRunSplit | EvalInputSplit) -> bool:
    """Return whether a part's filter is one that is known here; a newer Kiln may have others."""
    if isinstance(part_filter, EvalInputSplit):
        return is_input_filter(part_filter.filter_id)
    return is_filter(part_filter.filter_id)
