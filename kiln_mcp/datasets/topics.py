"""The topics of items."""

from typing import Final

from storage import TaskRun

TOPIC: Final = "topic_path"
"""Where a run's input source holds its topic, as Kiln does."""


def topic_of(run: TaskRun) -> str | None:
    """Return the topic of a run, None if it has none."""
    value = run.input_source.properties.get(TOPIC) if run.input_source else None
    return str(value) if value else None
