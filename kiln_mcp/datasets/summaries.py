"""What splits and reports need to know of the items of a dataset: their records are not kept."""

from dataclasses import dataclass
from datetime import datetime

from kiln_mcp.datasets.topics import topic_of
from storage import EvalInput, EvalItemSource, TaskRun


@dataclass(frozen=True, slots=True)
class ItemSummary:
    """An item of a dataset: a run, or an input without an output.

    Attributes:
        id: Its id.
        created_at: When it was created.
        path: Its file; "" if it was never saved.
        revision: The fingerprint of its file, as it was read; "" if it was never saved.
        is_run: Whether it has an output.
        text: The text by which it is like others.
        tags: Its tags.
        topic: Its topic; None if it has none.
        source: Where its input came from.
        parent_task_run_id: The turn before, in a conversation.
        eval_source: Set on runs that an eval made.
    """

    id: str
    created_at: datetime
    path: str
    revision: str
    is_run: bool
    text: str
    tags: tuple[str, ...]
    topic: str | None = None
    source: str = "unknown"
    parent_task_run_id: str | None = None
    eval_source: EvalItemSource | None = None


def summary_of(run: TaskRun) -> ItemSummary:
    """Return what is kept of a run."""
    origin = run.origin
    return ItemSummary(
        run.id,
        run.created_at,
        origin.path if origin else "",
        origin.revision if origin else "",
        True,
        run.input,
        run.tags,
        topic_of(run),
        run.input_source.type if run.input_source else "unknown",
        run.parent_task_run_id,
        run.eval_source,
    )


def summary_of_input(item: EvalInput) -> ItemSummary:
    """Return what is kept of an input without an output."""
    origin = item.saved
    text = item.opening_text
    if item.data.type != "single_turn":
        user = item.data.synthetic_user_info
        text = "\n".join((text, user.persona, user.goal))
    return ItemSummary(
        item.id, item.created_at, origin.path, origin.revision, False, text, item.tags
    )
