"""The items of an eval's test part that have a tag."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.datasets.items import items_in
from kiln_mcp.evals.eval_items import ItemReference
from kiln_mcp.evals.measurement import Measurement
from storage import EvalInputSplit, TaskRunSplit

TEST: Final = "test"


async def tagged_items(
    measurement: Measurement, items: Sequence[ItemReference], tag: str
) -> list[ItemReference]:
    """Return those items of an eval's test part that have a tag."""
    is_input = isinstance(measurement.eval_record.part(TEST), EvalInputSplit)
    part = (EvalInputSplit if is_input else TaskRunSplit)(filter_id=f"tag::{tag}")
    ids = {row.id for row in await items_in(measurement.store, measurement.task, part)}
    return [item for item in items if item.id in ids]
