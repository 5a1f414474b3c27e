"""Conflict copies: what cloud drives and file managers leave beside a record.

A copy is told by what it holds: a folder beside a record's folder whose record has the same id, or
a second .kiln file in a record's folder. A record that is merely named "Tickets 2" has its own id
and is no copy. Only files without an id, such as those of labels, are told by their names.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import Final

NO_IDS: Final = frozenset({"", "000000000000"})
"""What records are kept under that cannot be read, or say no id."""
KIND: Final = "conflict_copy"
"""The kind of a copied file in the trash."""
_OTHER_VERSION: Final = re.compile(r".+ \(other version [0-9a-f]{6}\)")
"""The stem of a file that waits beside another one for a decision; it is no drive's copy."""
_MARK: Final = re.compile(
    r"(?:"
    r" \([^()]+\)"  # Google Drive (1), Dropbox, Nextcloud, Seafile and Box, in any language
    r"| \[[^\[\]]+\]"  # pCloud
    r"| \d{1,3}"  # iCloud
    r"|[ ._-]{1,3}(?:sync-)?(?:conflict|copy|kopie|copie|copia|cópia)\w*(?:[ ._-].*)?"
    r"|-[A-Za-z][\w-]*"  # OneDrive: the computer's name
    r"|~.*"
    r")+",
    re.IGNORECASE,
)
"""What follows the name of the file that is copied."""
_FIRST: Final = re.compile(
    r"(?:copy|kopie|copie|copia|cópia)(?: \(\d+\))?(?: (?:of|von|de|di))? ", re.IGNORECASE
)
"""What precedes it where the copy was made by hand."""
_FIXED_STEMS: Final = (
    *("kiln_mcp_labels", "kiln_mcp_draws", "kiln_mcp_runs", "kiln_mcp_data_report"),
    *("kiln_mcp_baselines", "kiln_mcp_test_uses", "kiln_mcp_data_plans", "kiln_mcp_data_drafts"),
)
_FIXED_NAMES: Final = re.compile(rf"{'|'.join(_FIXED_STEMS)}|scorer|tool|SKILL")
"""Stems of files beside records whose copies are told without the file itself."""
_OURS: Final = re.compile(r"kiln_mcp_\w+|scorer|tool|SKILL|[^.]+\.\w+")
"""Stems of files beside records that the workbench or Kiln names."""
_OWN_NAME: Final = re.compile(r"kiln_mcp_[a-z0-9_]+", re.ASCII)
"""Stems that nobody else gives to a file: whatever is added to one makes the name of a copy."""
_WORD: Final = re.compile(r"[A-Za-z0-9_]")
_CLASH: Final = re.compile(r"conflic?t|konflikt|conflit", re.IGNORECASE)
"""What a drive says in the copy of a file that has any other name."""
_SUFFIXES: Final = frozenset({".json", ".jsonl", ".py", ".md"})


def copy_order(path: str, record_id: str) -> tuple[bool, int, str]:
    """Return the sorting key of the files of one id: the first is the record, the others copies.

    A folder that is named as the format names it comes before one that is not, then the shorter
    path: every drive adds to a name.
    """
    folder = PurePosixPath(path).parent.name
    return (not folder.startswith(record_id), len(path), path)


def is_spare_record(name: str, record_file: str) -> bool:
    """Whether a file in a record's folder is a second record file, and no open conflict's."""
    return (
        name.endswith(".kiln")
        and name != record_file
        and not name.startswith(".")
        and not _OTHER_VERSION.fullmatch(name.removesuffix(".kiln"))
    )


def copied_name(name: str, names: Collection[str]) -> str | None:
    """Return the name of the side file that a file beside it copies; None for no copy.

    Args:
        name: The file.
        names: The files of its folder.
    """
    file = PurePosixPath(name)
    if file.suffix not in _SUFFIXES or name.startswith(".") or _OTHER_VERSION.fullmatch(file.stem):
        return None
    own_stems = {PurePosixPath(other).stem for other in names if other.endswith(file.suffix)}
    for stem in (*_FIXED_STEMS, *sorted(filter(_OWN_NAME.fullmatch, own_stems))):
        if _is_named_after(file.stem, stem):
            return f"{stem}{file.suffix}"
    for stem in _shorter_stems(file.stem):
        is_named = _OURS.fullmatch(stem) or _CLASH.search(file.stem.removeprefix(stem))
        is_there = f"{stem}{file.suffix}" in names or _FIXED_NAMES.fullmatch(stem)
        if is_named and is_there:
            return f"{stem}{file.suffix}"
    return None


def copied_folder(name: str, folders: Collection[str]) -> str | None:
    """Return which of some folders a folder's name copies, such as "runs" for "runs 2"."""
    for stem in folders:
        if _is_named_after(name, stem):
            return stem
    return next((stem for stem in _shorter_stems(name) if stem in folders), None)


def _is_named_after(name: str, stem: str) -> bool:
    """Whether a name is another one with something before or behind it, in any language."""
    head, _, tail = name.partition(stem)
    is_apart = not _WORD.fullmatch(head[-1:]) and not _WORD.fullmatch(tail[:1])
    return stem in name and name != stem and is_apart and not (head and tail.strip(" ()0123456789"))


def _shorter_stems(stem: str) -> Iterable[str]:
    """Yield the stems that a drive could have made a stem of, the shortest first."""
    starts = [stem]
    if (first := _FIRST.match(stem)) is not None:
        starts.append(stem[first.end() :])
        yield starts[-1]
    for start in starts:
        for end in range(1, len(start)):
            if _MARK.fullmatch(start, end):
                yield start[:end]
