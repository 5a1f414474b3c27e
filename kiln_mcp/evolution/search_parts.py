"""The items of a search: training and validation items, held-out ones, and required cases."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kiln_mcp.evals.eval_items import Item, ItemReference, items_of, read_items
from kiln_mcp.evals.measurement import Measurement
from storage import EvalInputSplit, TaskRunSplit
from storage.errors import InvalidValue, NextStep, Refusal


@dataclass(frozen=True, slots=True)
class Parts:
    """The items of each part of an eval's data.

    Attributes:
        train: What proposals are made from.
        val: What chooses.
        test: What took no part.
        required: Ids of those of `train` and `val` that may not get worse.
    """

    train: Sequence[Item]
    val: Sequence[Item]
    test: Sequence[ItemReference]
    required: frozenset[str] = frozenset()


async def parts_of(eval_context: Measurement, required: Sequence[str]) -> Parts:
    """Return the items of each part.

    Args:
        eval_context: The eval.
        required: Tags of items that may not get worse.

    Raises:
        InvalidValue: No training or validation item has a required tag.
        Refusal: There are no train, val or test items, or two of them share inputs.
    """
    items_by_part: dict[str, list[Item]] = {}
    references: dict[str, ItemReference] = {}
    for name in ("train", "val", "test"):
        part = eval_context.eval_record.part(name)
        own = await items_of(eval_context.store, eval_context.task, part)
        references.update({reference.id: reference for reference in own})
        items = await read_items(eval_context.store, own)
        # Ids are random: only this order makes a seed repeat a search in another project.
        items_by_part[name] = sorted(items, key=lambda item: item.task_input)
        if not items_by_part[name]:
            raise _missing_part(name, part.filter_id if part else None)
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = {i.task_input for i in items_by_part[first]} & {
            i.task_input for i in items_by_part[second]
        }
        if shared:
            raise Refusal(
                "{count} inputs are in both {first} and {second}, so the result would flatter. "
                "Make an eval of the parts of one split.",
                count=len(shared),
                first=first,
                second=second,
                next=[NextStep(tool="split_data", reason="deal the items, and use its filters")],
            )
    test = [references[item.id] for item in items_by_part["test"]]
    ids = {item.id for name in ("train", "val") for item in items_by_part[name]}
    return Parts(
        items_by_part["train"],
        items_by_part["val"],
        test,
        await _required_ids(eval_context, required, ids),
    )


async def _required_ids(
    eval_context: Measurement, tags: Sequence[str], ids: Collection[str]
) -> frozenset[str]:
    """Return the training and validation items that have one of the tags.

    Raises:
        InvalidValue: No such item has a tag.
    """
    required = set[str]()
    for tag in tags:
        name = f"tag::{tag}"
        tagged_ids = {
            reference.id
            for part in (TaskRunSplit(filter_id=name), EvalInputSplit(filter_id=name))
            for reference in await items_of(eval_context.store, eval_context.task, part)
        }
        if not tagged_ids & set(ids):
            raise InvalidValue(
                "No training or validation item has the tag '{tag}', so none is required.",
                tag=tag,
                next=[
                    NextStep(tool="mark_runs", reason="tag with `add_tags` what may not get worse")
                ],
            )
        required |= tagged_ids & set(ids)
    return frozenset(required)


def _missing_part(part: str, filter_id: str | None) -> Refusal:
    reason = f"no item fits '{filter_id}'" if filter_id else "the eval names no such part"
    return Refusal(
        "There are no {part} items: {reason}.",
        part=part,
        reason=reason,
        next=[
            NextStep(tool="split_data", reason="deal the items"),
            NextStep(
                tool="create_evaluator",
                reason="create an `eval` with that split's test_filter, train_filter, val_filter",
            ),
        ],
    )
