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
"""Keys that a program sets on a part of a record. Of two values theirs is taken."""
_UNITS = (("repaired_output", "repair_instructions"),)
"""Keys that belong together. Of two versions of such a unit one is taken whole."""


@dataclass(frozen=True, slots=True)
class Absent:
    """The value of a missing key."""


ABSENT = Absent()
Value = JsonValue | Absent


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """One field that two people gave two values.

    Attributes:
        field: The keys that lead to it.
        base: Its value in the common ancestor.
        ours: The value here.
        theirs: The value there.
        companions: The other fields of the same unit that differ, and are decided with it.
    """

    field: tuple[str, ...]
    base: Value
    ours: Value
    theirs: Value
    companions: "tuple[FieldConflict, ...]" = ()


def merge_objects(
    base: dict[str, JsonValue], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> tuple[dict[str, JsonValue], list[FieldConflict]]:
    """Return an object with the changes of both sides, and the fields in conflict.

    Of a field in conflict the object holds their value, which others may have read already.
    """
    conflicts: list[FieldConflict] = []
    merged = _merge((), base, ours, theirs, conflicts)
    if not isinstance(merged, dict):
        return {}, conflicts
    for unit in _UNITS:
        if any(conflict.field[0] in unit for conflict in conflicts):
            their_unit = {key: theirs[key] for key in unit if key in theirs}
            merged = {key: merged[key] for key in merged if key not in unit} | their_unit
    return merged, join_units(conflicts, ours, theirs)


def join_units(
    conflicts: Sequence[FieldConflict], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> list[FieldConflict]:
    """Join the conflicts of an object that belong to one unit."""
    result = list(conflicts)
    for unit in _UNITS:
        if not any(conflict.field[0] in unit for conflict in conflicts):
            continue
        differences = [
            difference for key in unit for difference in _differences((key,), ours, theirs)
        ]
        if len(differences) > 1:
            unit_conflict = replace(differences[0], companions=tuple(differences[1:]))
            result = [conflict for conflict in result if conflict.field[0] not in unit] + [
                unit_conflict
            ]
    return result


def _differences(
    field: tuple[str, ...], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> Iterator[FieldConflict]:
    """Yield the fields below a key that differ, sorted by key."""
    our_value, their_value = ours.get(field[-1], ABSENT), theirs.get(field[-1], ABSENT)
    if equal(our_value, their_value):
        return
    if isinstance(our_value, dict) and isinstance(their_value, dict):
        for key in sorted({*our_value, *their_value} - _STAMPS):
            yield from _differences((*field, key), our_value, their_value)
    else:
        yield FieldConflict(field, ABSENT, our_value, their_value)


def merge_lines(base: str, ours: str, theirs: str) -> str:
    """Merge two texts of independent lines: with all additions, without all removals.

    If every line has a time (`at`), the lines are sorted by time.
    """
    lines = _merge_items(_lines(base), _lines(ours), _lines(theirs))
    times = [_time_of(line) for line in lines]
    known_times = [time for time in times if time is not None]
    if len(known_times) == len(lines):
        lines = [
            line
            for _, line in sorted(zip(known_times, lines, strict=True), key=lambda pair: pair[0])
        ]
    return "".join(f"{line}\n" for line in lines)


def merge_reports(ours: bytes, theirs: bytes) -> bytes | None:
    """Merge two reports, which are computed from records: their values, and the lists of both.

    Lists of objects, such as the splits, hold what either side has. Measurements are theirs
    until the next measurement. Returns None if one of the two is no JSON object.
    """
    our_report, their_report = _object(ours), _object(theirs)
    if our_report is None or their_report is None:
        return None
    merged = {**our_report, **their_report}
    for key, value in our_report.items():
        other = their_report.get(key)
        if isinstance(value, list) and isinstance(other, list):
            merged[key] = [*other, *(item for item in value if item not in other)]
    return (json.dumps(merged, ensure_ascii=False, indent=2) + "\n").encode()


def _object(content: bytes) -> dict[str, JsonValue] | None:
    try:
        data: JsonValue = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _lines(text: str) -> list[str]:
    """Split a text at line feeds only, because JSON may hold other line separators.

    A line of Windows is the same as one of another system.
    """
    lines = text.removesuffix("\n").split("\n") if text else []
    return [line.removesuffix("\r") for line in lines]


def _time_of(line: str) -> datetime | None:
    """Return the time (`at`) of a line; None if it has none."""
    try:
        data: JsonValue = json.loads(line)
        at = data.get("at") if isinstance(data, dict) else None
        return datetime.fromisoformat(str(at)).astimezone(UTC) if at else None
    except (ValueError, RecursionError, OverflowError):
        return None


def _merge(
    field: tuple[str, ...], base: Value, ours: Value, theirs: Value, conflicts: list[FieldConflict]
) -> Value:
    if equal(ours, theirs) or equal(base, theirs):
        return ours
    if equal(base, ours):
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return _merge_dicts(field, base, ours, theirs, conflicts)
    if field and field[-1] in _SETS and isinstance(ours, list) and isinstance(theirs, list):
        base_items = base if isinstance(base, list) else []
        merged = _merge_items(_as_texts(base_items), _as_texts(ours), _as_texts(theirs))
        return [json.loads(item) for item in merged]
    if not (len(field) > 1 and field[-1] in _STAMPS) and field != (TYPED,):
        conflicts.append(FieldConflict(field, base, ours, theirs))
    return theirs


def _merge_dicts(
    field: tuple[str, ...],
    base: Value,
    ours: dict[str, JsonValue],
    theirs: dict[str, JsonValue],
    conflicts: list[FieldConflict],
) -> dict[str, JsonValue]:
    base_values = base if isinstance(base, dict) else {}
    merged: dict[str, JsonValue] = {}
    for key in _in_order(theirs, ours):
        value = _merge(
            (*field, key),
            base_values.get(key, ABSENT),
            ours.get(key, ABSENT),
            theirs.get(key, ABSENT),
            conflicts,
        )
        if not isinstance(value, Absent):
            merged[key] = value
    return merged


def _in_order(theirs: Iterable[str], ours: Iterable[str]) -> list[str]:
    """Return the keys of both: theirs, and each of ours after the key that it follows in ours."""
    after: dict[str | None, list[str]] = {}
    keys = dict.fromkeys(theirs)
    last: str | None = None
    for key in ours:
        if key in keys:
            last = key
        else:
            after.setdefault(last, []).append(key)
    return [*after.get(None, ()), *(name for key in keys for name in (key, *after.get(key, ())))]


def equal(first: Value, second: Value) -> bool:
    """Return whether two values are the same, or both absent."""
    if isinstance(first, Absent) or isinstance(second, Absent):
        return isinstance(first, Absent) and isinstance(second, Absent)
    return same(first, second)


def _as_texts(items: Sequence[JsonValue]) -> list[str]:
    return [json.dumps(item, ensure_ascii=False) for item in items]


def _merge_items(base: list[str], ours: list[str], theirs: list[str]) -> list[str]:
    """Return their items without those that we removed, then those that we added."""
    removals = Counter(base) - Counter(ours)
    additions = Counter(ours) - Counter(base) - (Counter(theirs) - Counter(base))
    merged: list[str] = []
    for item in theirs:
        if removals[item] > 0:
            removals[item] -= 1
        else:
            merged.append(item)
    for item in ours:
        if additions[item] > 0:
            additions[item] -= 1
            merged.append(item)
    return merged
