"""The topics of items."""

from storage import TaskRun


def topic_of(run: TaskRun) -> str | None:
    """Return the topic of a run, None if it has none."""
    return run.topic
