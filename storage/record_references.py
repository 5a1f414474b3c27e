"""Find the records that refer to others, before those are deleted."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from storage.commits.trash import FOLDER as TRASH
from storage.files import read_plain
from storage.format.layout import folders_above, place_named

_REFERRERS: Mapping[str, frozenset[str]] = {
    "task_run": frozenset({"dataset_split", "eval_run"}),
    "eval_input": frozenset({"eval_run"}),
    "task_run_config": frozenset(
        {"task", "eval_run", "prompt_optimization_job", "external_tool_server"}
    ),
    "prompt": frozenset({"task_run_config", "prompt_optimization_job"}),
    "eval_config": frozenset({"eval"}),
    "eval": frozenset({"spec", "prompt_optimization_job"}),
    "dataset_split": frozenset({"finetune"}),
    "finetune": frozenset({"task_run_config"}),
    "task": frozenset({"external_tool_server"}),
    "skill": frozenset({"task_run_config"}),
    "code_tool": frozenset({"task_run_config", "eval_config"}),
    "external_tool_server": frozenset({"task_run_config", "eval"}),
    "rag_config": frozenset({"task_run_config"}),
    "extractor_config": frozenset({"rag_config", "extraction"}),
    "chunker_config": frozenset({"rag_config", "chunked_document"}),
    "embedding_config": frozenset({"rag_config", "chunk_embeddings"}),
    "vector_store_config": frozenset({"rag_config"}),
    "reranker_config": frozenset({"rag_config"}),
}
"""Which kinds hold ids of a kind that they cannot do without; where something came from is none."""
_NUMBER = re.compile(rb"\d+")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The records that depend on some records of a kind.

    Attributes:
        below: How many records of each kind lie below them.
        referring: How many records of each kind, elsewhere, refer to one of them.
    """

    below: dict[str, int]
    referring: dict[str, int]


def surroundings(
    project: Path, kind: str, ids: Collection[str], folders: Collection[str]
) -> Surroundings:
    """Count the records that depend on others; reads every file that may refer to them.

    Args:
        project: The project's folder.
        kind: The records' kind.
        ids: Their ids.
        folders: Their folders, within the project.
    """
    referrers = _REFERRERS.get(kind, frozenset[str]())
    tops = set(folders)
    own = {f"{folder}/{kind}.kiln" for folder in folders}
    numbers = {record_id.encode() for record_id in ids if record_id.isdecimal()}
    words = [record_id.encode() for record_id in ids if not record_id.isdecimal()]
    below: Counter[str] = Counter()
    referring: Counter[str] = Counter()
    for path in _records(project):
        its_kind = PurePosixPath(path).stem
        if not tops.isdisjoint(folders_above(path)):
            below[its_kind] += path not in own
        elif its_kind in referrers:
            with suppress(OSError):  # a pipe, or gone meanwhile
                content = read_plain(project / path)
                is_named = not numbers.isdisjoint(_NUMBER.findall(content))
                referring[its_kind] += is_named or any(word in content for word in words)
    return Surroundings(dict(+below), dict(+referring))


def _records(project: Path) -> Iterator[str]:
    """Yield the files of all records, within the project; links are not followed."""
    for folder, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name not in {".git", TRASH}]
        inside = Path(folder).relative_to(project).as_posix()
        for name in files:
            if place_named(name) is not None:
                yield name if inside == "." else f"{inside}/{name}"
