"""Names: what a person types, what the format stores, what a folder is called.

The format stores compatibility-decomposed text (Unicode NFKD) and forbids some characters. A
person sees the composed form (NFC) of it.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping

from storage.errors import InvalidName

LONGEST_NAME = 120
_LONGEST_SHOWN = 60
_KNOWN_BY = ("name", "input", "instruction", "text", "id")
"""The keys that tell people which record is meant, the best one first."""
LONGEST_SHORT_NAME = 32
_FOLDER_NAME_LENGTH = 32
_FORBIDDEN = frozenset('/\\?%*:|"<>.,;=')
_DOUBLED = re.compile(r"([\s_])[\s_]+")


def stored_name(text: str) -> str:
    """Return the form of a name that files hold."""
    return unicodedata.normalize("NFKD", text)


def shown_name(text: str) -> str:
    """Return the form of a name that people see."""
    return unicodedata.normalize("NFC", text)


def known_as(fields: Mapping[str, object]) -> str:
    """Return what people know a record by: its name, else how it begins, else its id."""
    said = (fields.get(key) for key in _KNOWN_BY)
    text = next((text for text in said if isinstance(text, str) and text.strip()), "")
    line = " ".join(shown_name(text).split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 1]}…"


def acceptable_name(text: str, longest: int = LONGEST_NAME) -> str:
    """Return the nearest name that can be stored, "" where nothing of the text can."""
    kept = "".join(
        " " if character in _FORBIDDEN or unicodedata.category(character)[0] in "CZ" else character
        for character in stored_name(text)
    )
    single = _DOUBLED.sub(r"\1", kept).strip(" _")
    return shown_name(single[:longest].strip(" _"))


def check_name(text: str, longest: int = LONGEST_NAME) -> str:
    """Return the shown form of a name that can be stored.

    Raises:
        InvalidName: It is empty, too long, or has characters that the format forbids.
    """
    stored = stored_name(text)
    reason = _fault(stored, longest)
    if reason:
        raise InvalidName(text, reason, acceptable_name(text, longest))
    return shown_name(stored)


def _fault(stored: str, longest: int) -> str:
    if not stored:
        return "is empty"
    if len(stored) > longest:
        return f"is longer than {longest} characters"
    bad = sorted({c for c in stored if c in _FORBIDDEN})
    if bad:
        return f"has characters that file names cannot have ({' '.join(bad)})"
    if any(unicodedata.category(c) == "Cc" for c in stored):
        return "has a line break or another control character"
    if stored != stored.strip(" _") or stored != stored.strip():
        return "begins or ends with a space or underscore"
    if _DOUBLED.search(stored):
        return "has two spaces or underscores in a row"
    return ""


def folder_name(record_id: str, name: str | None) -> str:
    """Return the name of a record's folder: its id, and the start of its name where it has one."""
    if not name:
        return record_id
    safe = stored_name(acceptable_name(name))[:_FOLDER_NAME_LENGTH].rstrip()
    return f"{record_id} - {safe}" if safe else record_id


def close_names(wanted: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to `limit` names that look like the wanted one, the nearest first."""
    by_folded = {name.casefold(): name for name in names}
    folded = wanted.casefold()
    near = difflib.get_close_matches(folded, by_folded, n=limit, cutoff=0.5)
    holding = [name for name in by_folded if folded and folded in name and name not in near]
    return [by_folded[name] for name in [*near, *holding][:limit]]
