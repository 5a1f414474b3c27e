"""The parts of a dataset: their tags, names, shares and topics."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from storage import TaskRun


def tag_of(name: str) -> str:
    """Return a name as part of a tag: lower case letters and digits, joined by underscores."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"\W+", "_", plain).strip("_") or "eval"


_PART: Final = re.compile(r"(train|val|test|golden)_(.+)")
"""The tags by which split_data deals items: `test_<split>`."""


def dealt_splits(tags: Mapping[str, int]) -> Mapping[str, Mapping[str, int]]:
    """Return the items of each part of each dealt split, by the split's name.

    A name is a split's where a test part and another part have it.

    Args:
        tags: How many runs have each tag.
    """
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for tag, runs in tags.items():
        part = _PART.fullmatch(tag)
        if part:
            found[part[2]][part[1]] = runs
    return {name: parts for name, parts in found.items() if "test" in parts and len(parts) > 1}


TOPIC: Final = "topic_path"
"""Where a run's input source holds its topic, as Kiln does."""


def topic_of(run: TaskRun) -> str | None:
    """Return the topic of a run, None where it has none."""
    value = run.input_source.properties.get(TOPIC) if run.input_source else None
    return str(value) if value else None


def data_set(runs: Sequence[TaskRun]) -> list[TaskRun]:
    """Return the runs of the data set in a stable order: none of evals, no middle turns."""
    continued = {run.parent_task_run_id for run in runs}
    own = [run for run in runs if run.eval_source is None and run.id not in continued]
    return sorted(own, key=lambda run: (run.created_at, run.id))


def part_tags(name: str) -> dict[str, str]:
    """Return the tag of each part of a split, such as `train_<name>`."""
    return {part: f"{part}_{name}" for part in SHARES}


SHARES: Final[Mapping[str, int]] = {"train": 40, "val": 25, "test": 25, "golden": 10}
"""The usual shares, in percent. Golden items are for people to label."""
