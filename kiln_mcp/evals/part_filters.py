"""The items of a new eval without filters: the parts of a split."""

from collections.abc import Mapping
from dataclasses import replace

from kiln_mcp.datasets.items import PartFilter, items_in
from kiln_mcp.datasets.parts import (
    dealt_splits,
    eval_tag,
    part_tag,
    part_tags,
    splits_with,
    tag_filter,
    tag_of,
)
from kiln_mcp.evals.arguments import NewEval
from kiln_mcp.evals.errors import missing_split
from kiln_mcp.evals.stored_outputs import EVERY
from storage import Eval, EvalInputSplit, ProjectStore, Task
from storage.format.filters import is_filter, is_input_filter


def with_items(
    name: str, definition: NewEval, tags: Mapping[str, int], outputs: str | None
) -> NewEval:
    """Return a new eval's definition with the filters that it lacks.

    A test filter stands, and so does the eval's own tag if items have it.
    Otherwise the parts of the split of the eval's name, or of the only split, are its items.
    Without any split it judges the feature's stored outputs as they are, and people label these:
    its own tag has no item yet.

    Args:
        name: The eval's name.
        definition: The arguments.
        tags: How many of the task's items have each tag.
        outputs: The feature's stored outputs; None if there are none.

    Raises:
        Refusal: There is neither split nor stored output, or there are several splits and none has
            the eval's name.
    """
    slug = tag_of(name)
    if definition.test_filter or eval_tag(slug) in tags:
        return definition
    splits = dealt_splits(tags)
    split_name = slug if slug in splits else next(iter(splits)) if len(splits) == 1 else None
    test_splits = splits_with("test", tags)
    if outputs is not None and not splits and not test_splits:
        own_filter = tag_filter(eval_tag(slug))
        pool = outputs if is_filter(outputs) else EVERY
        golden_filter = definition.golden_filter or pool
        return replace(definition, test_filter=own_filter, golden_filter=golden_filter)
    if split_name is None and slug not in test_splits:
        raise missing_split(
            name, sorted(splits), [part_tag("test", split) for split in test_splits]
        )
    tags_of_parts = part_tags(split_name or slug)
    parts = splits.get(split_name or "", ("test",))  # else all items were dealt to this part
    filters = {part: tag_filter(tags_of_parts[part]) for part in parts}
    return replace(
        definition,
        test_filter=filters["test"],
        golden_filter=definition.golden_filter or filters.get("golden"),
        train_filter=definition.train_filter or filters.get("train"),
        val_filter=definition.val_filter or filters.get("val"),
    )


async def with_eval_inputs(store: ProjectStore, task: Task, record: Eval) -> Eval:
    """Return a new eval whose parts are inputs alone if only these have a part's filter."""
    parts = {name: await _with_items(store, task, part) for name, part in record.splits.items()}
    return record if parts == record.splits else record.replace(splits=parts)


async def _with_items(store: ProjectStore, task: Task, part: PartFilter) -> PartFilter:
    """Return a part as it is, or the part of inputs with its filter if these alone have it."""
    filter_id = part.filter_id
    if not is_input_filter(filter_id):
        return part
    if is_filter(filter_id) and await items_in(store, task, part):
        return part
    inputs = EvalInputSplit(filter_id=filter_id)
    return inputs if await items_in(store, task, inputs) else part
