"""The topics of items."""

from storage import TaskRun
from storage.records.run import TOPIC


def topic_of(run: TaskRun) -> str | None:
    """Return the topic of a run, None if it has none."""
    value = run.input_source.properties.get(TOPIC) if run.input_source else None
    return str(value) if value else None
