"""Merge two people's versions of a record, key by key. Pure: no files, no git."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import JsonValue

from storage.records.names import TYPED
from storage.text.json_text import same

_SETS = frozenset({"tags"})
_STAMPS = frozenset({"id", "created_at", "created_by"})
"""What a program stamps on a part of a record; of two stamps theirs is as good as ours."""
_UNITS = (("repaired_output", "repair_instructions"),)
"""Keys of a record that are one work together: of two people's works one is taken whole."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A key that is not there."""


ABSENT = Absent()
Value = JsonValue | Absent


@dataclass(frozen=True, slots=True)
class Clash:
    """One field that two people gave two values.

    Attributes:
        field: The keys that lead to it.
        before: Its value before both.
        ours: The value here.
        theirs: The value there.
        also: What else differs of the same work, and is decided with it.
    """

    field: tuple[str, ...]
    before: Value
    ours: Value
    theirs: Value
    also: "tuple[Clash, ...]" = ()


def merge_objects(
    before: dict[str, JsonValue], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> tuple[dict[str, JsonValue], list[Clash]]:
    """Return an object with the changes of both sides, and the fields where they clash.

    Of a clash the object holds their value, which others may have seen already.
    """
    clashes: list[Clash] = []
    merged = _merge((), before, ours, theirs, clashes)
    if not isinstance(merged, dict):
        return {}, clashes
    for unit in _UNITS:
        if any(clash.field[0] in unit for clash in clashes):
            taken = {key: theirs[key] for key in unit if key in theirs}
            merged = {key: merged[key] for key in merged if key not in unit} | taken
    return merged, units_joined(clashes, ours, theirs)


def units_joined(
    clashes: Sequence[Clash], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> list[Clash]:
    """Return the clashes of an object, those of one work as one."""
    joined = list(clashes)
    for unit in _UNITS:
        if not any(clash.field[0] in unit for clash in clashes):
            continue
        parts = [part for key in unit for part in _differing((key,), ours, theirs)]
        if len(parts) > 1:
            whole = replace(parts[0], also=tuple(parts[1:]))
            joined = [clash for clash in joined if clash.field[0] not in unit] + [whole]
    return joined


def _differing(
    field: tuple[str, ...], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> Iterator[Clash]:
    """Yield where the values below a key differ, in the order of their names."""
    here, there = ours.get(field[-1], ABSENT), theirs.get(field[-1], ABSENT)
    if equal(here, there):
        return
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted({*here, *there} - _STAMPS):
            yield from _differing((*field, key), here, there)
    else:
        yield Clash(field, ABSENT, here, there)


def merge_lines(before: str, ours: str, theirs: str) -> str:
    """Return a text of independent lines with what each side added and without what one removed.

    Lines that all say at what time they were written are put in the order of these times.
    """
    kept = _merge_items(_lines(before), _lines(ours), _lines(theirs))
    times = [_time_of(line) for line in kept]
    known = [time for time in times if time is not None]
    if len(known) == len(kept):
        kept = [line for _, line in sorted(zip(known, kept, strict=True), key=lambda one: one[0])]
    return "".join(f"{line}\n" for line in kept)


def merge_reports(ours: bytes, theirs: bytes) -> bytes | None:
    """Return a report that is made anew from records, as they have it, with the lists of both.

    Lists of objects, such as the splits that were dealt, hold what either side has; what was
    measured is theirs until it is measured again. None where one is no JSON object.
    """
    here, there = _object(ours), _object(theirs)
    if here is None or there is None:
        return None
    merged = {**here, **there}
    for key, value in here.items():
        other = there.get(key)
        if isinstance(value, list) and isinstance(other, list):
            merged[key] = [*other, *(one for one in value if one not in other)]
    return (json.dumps(merged, ensure_ascii=False, indent=2) + "\n").encode()


def _object(content: bytes) -> dict[str, JsonValue] | None:
    try:
        data: JsonValue = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _lines(text: str) -> list[str]:
    """Return the lines of a text; only a line feed ends one, for JSON holds other separators."""
    return text.removesuffix("\n").split("\n") if text else []


def _time_of(line: str) -> datetime | None:
    """Return at what time a line says that it was written; None where it does not."""
    try:
        data: JsonValue = json.loads(line)
        at = data.get("at") if isinstance(data, dict) else None
        return datetime.fromisoformat(str(at)).astimezone(UTC) if at else None
    except (ValueError, RecursionError, OverflowError):
        return None


def _merge(
    field: tuple[str, ...], before: Value, ours: Value, theirs: Value, clashes: list[Clash]
) -> Value:
    if equal(ours, theirs) or equal(before, theirs):
        return ours
    if equal(before, ours):
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return _merge_dicts(field, before, ours, theirs, clashes)
    if field and field[-1] in _SETS and isinstance(ours, list) and isinstance(theirs, list):
        held = before if isinstance(before, list) else []
        merged = _merge_items(_spelled(held), _spelled(ours), _spelled(theirs))
        return [json.loads(item) for item in merged]
    if not (len(field) > 1 and field[-1] in _STAMPS) and field != (TYPED,):
        clashes.append(Clash(field, before, ours, theirs))
    return theirs


def _merge_dicts(
    field: tuple[str, ...],
    before: Value,
    ours: dict[str, JsonValue],
    theirs: dict[str, JsonValue],
    clashes: list[Clash],
) -> dict[str, JsonValue]:
    held = before if isinstance(before, dict) else {}
    merged: dict[str, JsonValue] = {}
    for key in _in_order(theirs, ours):
        value = _merge(
            (*field, key),
            held.get(key, ABSENT),
            ours.get(key, ABSENT),
            theirs.get(key, ABSENT),
            clashes,
        )
        if not isinstance(value, Absent):
            merged[key] = value
    return merged


def _in_order(theirs: Iterable[str], ours: Iterable[str]) -> list[str]:
    """Return the keys of both: theirs, and each other one after the key that it follows in ours."""
    after: dict[str | None, list[str]] = {}
    keys = dict.fromkeys(theirs)
    last: str | None = None
    for key in ours:
        if key in keys:
            last = key
        else:
            after.setdefault(last, []).append(key)
    return [*after.get(None, ()), *(one for key in keys for one in (key, *after.get(key, ())))]


def equal(first: Value, second: Value) -> bool:
    """Return whether two values are the same, or both not there."""
    if isinstance(first, Absent) or isinstance(second, Absent):
        return isinstance(first, Absent) and isinstance(second, Absent)
    return same(first, second)


def _spelled(items: Sequence[JsonValue]) -> list[str]:
    return [json.dumps(item, ensure_ascii=False) for item in items]


def _merge_items(before: list[str], ours: list[str], theirs: list[str]) -> list[str]:
    """Return their items, less what we removed, and then what we added."""
    removed = Counter(before) - Counter(ours)
    added = Counter(ours) - Counter(before) - (Counter(theirs) - Counter(before))
    kept: list[str] = []
    for item in theirs:
        if removed[item] > 0:
            removed[item] -= 1
        else:
            kept.append(item)
    for item in ours:
        if added[item] > 0:
            added[item] -= 1
            kept.append(item)
    return kept
