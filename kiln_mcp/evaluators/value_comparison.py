"""Compare an output with what is expected, by value: objects field by field, lists, numbers, dates.

Two JSON values are compared under the task's schema: the order of keys, `75001.0` beside `75001`,
and a field that is null or left out make no difference. Two texts are compared without white space
at their ends and in one Unicode form, unless the rules say otherwise.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Final, cast

from pydantic import JsonValue

from kiln_mcp.evaluators.item_matches import ListCounts, count_matches
from kiln_mcp.evaluators.schema_parts import (
    ANY_SCHEMA,
    Path,
    Schema,
    as_typed,
    branch_of,
    field_paths,
    items_of,
    part_of,
)
from kiln_mcp.evaluators.text_comparison import difference, is_same_text, json_text, normal_text
from storage.records.evaluator import ComparisonRules, FieldRules

_SECONDS_A_DAY: Final = 86_400
_SHOWN_DIFFERENCES: Final = 5
_MOST_STEPS: Final = 200_000
"""Values of one output that are compared, those of lists in pairs."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class FieldResult:
    """How one field agrees with the expected one.

    Attributes:
        is_equal: Whether the two values are one by the rules.
        detail: Both values in short; "" if they are equal.
        counts: How the items agree, for lists alone.
        is_in_output: Whether the output has a value there that is not null.
        is_expected: Whether the expected value has one.
    """

    is_equal: bool
    detail: str = ""
    counts: ListCounts | None = None
    is_in_output: bool = True
    is_expected: bool = True

    @property
    def is_absent(self) -> bool:
        """Whether neither has a value."""
        return not (self.is_in_output or self.is_expected)


@dataclass(frozen=True, slots=True)
class ValueComparison:
    """How an output agrees with what is expected.

    Attributes:
        total: The whole value.
        fields: Each field of an object by its path, those of inner objects too.
    """

    total: FieldResult
    fields: Mapping[Path, FieldResult] = field(default_factory=dict[Path, FieldResult])

    @property
    def detail(self) -> str:
        """Return the fields that differ, in short."""
        different = [
            f"{'.'.join(path)}: {result.detail}"
            for path, result in self.fields.items()
            if not result.is_equal and result.detail
        ]
        examples = "; ".join(different[:_SHOWN_DIFFERENCES])
        rest = len(different) - _SHOWN_DIFFERENCES
        return (examples + (f"; and {rest} more" if rest > 0 else "")) or self.total.detail


def compare_values(
    actual: JsonValue,
    expected: JsonValue,
    rules: ComparisonRules,
    schema: Schema | None = None,
    *,
    is_case_sensitive: bool = True,
) -> ValueComparison:
    """Compare an output with the expected value.

    Args:
        actual: The output; text is read as JSON if the expected value is no plain text.
        expected: The value to compare with; text that is a JSON object or list is read as one.
        rules: Tolerances, and which differences count.
        schema: The schema of both, where there is one: it tells dates, sets and numbers in text.
        is_case_sensitive: Whether capital and small letters differ.
    """
    expected_value = structure(expected, is_json=bool(schema))
    if isinstance(expected_value, str):
        actual_text = actual if isinstance(actual, str) else json.dumps(actual, ensure_ascii=False)
        same = is_same_text(actual_text, expected_value, rules, is_case_sensitive=is_case_sensitive)
        detail = "" if same else difference(actual_text, expected_value)
        return _as_whole(FieldResult(same, detail), schema)
    actual_value = structure(actual, is_json=True)
    comparer = _Comparer(rules, schema or ANY_SCHEMA, is_case_sensitive=is_case_sensitive)
    try:
        total = comparer.compare(actual_value, expected_value, schema or ANY_SCHEMA, ())
    except (RecursionError, _TooMuch):
        same = json_text(actual_value) == json_text(expected_value)
        return _as_whole(FieldResult(same, "" if same else "too large to compare"), schema)
    if not isinstance(expected_value, dict):
        return _as_whole(total, schema)
    if not isinstance(actual_value, dict):
        return ValueComparison(total, _all_different(comparer.fields, schema))
    return ValueComparison(total, comparer.fields)


def nearest(comparisons: Iterable[ValueComparison]) -> ValueComparison:
    """Return the comparison with the right value that an output agrees with most.

    That is the first one which is equal, else the first one of those with the most equal fields.
    """
    return max(
        comparisons,
        key=lambda comparison: (
            comparison.total.is_equal,
            sum(part.is_equal for part in comparison.fields.values()),
            0 if comparison.total.counts is None else comparison.total.counts.measure("f1"),
        ),
    )


def _as_whole(total: FieldResult, schema: Schema | None) -> ValueComparison:
    """Return a comparison of values that were not compared field by field."""
    part = replace(total, detail="", counts=None)
    return ValueComparison(total, dict.fromkeys(field_paths(schema), part))


def _all_different(
    fields: Mapping[Path, FieldResult], schema: Schema | None
) -> dict[Path, FieldResult]:
    """Return the fields of an output that is no object: none agrees, also none that is null."""
    no_field = FieldResult(is_equal=False, is_in_output=False, is_expected=False)
    results = dict.fromkeys(field_paths(schema), no_field) | dict(fields)
    return {
        path: replace(part, is_equal=False, detail="the output is no object")
        for path, part in results.items()
    }


def structure(value: JsonValue, *, is_json: bool) -> JsonValue:
    """Return the JSON value that a text holds; if it need not be JSON, an object or list alone."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not is_json and text[:1] not in {"{", "["}:
        return value
    try:
        return cast("JsonValue", json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON value")


class _TooMuch(Exception):
    """More values are to be compared than one output may take."""


class _Comparer:
    """Compares values and notes each field of an object by its path.

    A brief one stops at the first difference and does not say which it is.

    The items of a list have the path of the list, so that rules for `lines.sum` hold in each line.
    """

    def __init__(self, rules: ComparisonRules, root: Schema, *, is_case_sensitive: bool) -> None:
        self._rules = rules
        self._rules_by_field = {part.field: _with_own(rules, part) for part in rules.fields}
        self._item_keys = {part.field: part.item_key for part in rules.fields}
        self._root = root
        self._is_case_sensitive = is_case_sensitive
        self._is_brief = False
        self._steps = count(1)
        self.fields: dict[Path, FieldResult] = {}

    def compare(
        self, actual: JsonValue, expected: JsonValue, schema: Schema, path: Path
    ) -> FieldResult:
        """Compare two values, and all fields below them."""
        if next(self._steps) > _MOST_STEPS:
            raise _TooMuch
        schema = branch_of(schema, self._root, actual if expected is None else expected)
        actual, expected = as_typed(actual, schema), as_typed(expected, schema)
        if isinstance(expected, dict):
            result = self._compare_objects(actual, expected, schema, path)
        elif isinstance(expected, list):
            result = self._compare_lists(actual, expected, schema, path)
        else:
            same = self._is_same_scalar(actual, expected, schema, path)
            result = FieldResult(same, "" if same else self._say(actual, expected))
        if path:
            self.fields[path] = replace(
                result, is_in_output=actual is not None, is_expected=expected is not None
            )
        return result

    def _compare_objects(
        self, actual: JsonValue, expected: Mapping[str, JsonValue], schema: Schema, path: Path
    ) -> FieldResult:
        members = actual if isinstance(actual, dict) else {}
        are_equal = isinstance(actual, dict)
        for name in {**expected, **members}:
            place = (*path, name)
            if ".".join(place) in self._rules.ignored_fields:
                continue
            part = part_of(schema, name)
            result = self.compare(members.get(name), expected.get(name), part, place)
            are_equal = are_equal and result.is_equal
            if self._is_brief and not are_equal:
                break
        return FieldResult(are_equal, "" if are_equal else self._say(actual, dict(expected)))

    def _compare_lists(
        self, actual: JsonValue, expected: Sequence[JsonValue], schema: Schema, path: Path
    ) -> FieldResult:
        items = actual if isinstance(actual, list) else []
        part = items_of(schema)
        item_key = self._item_keys.get(".".join(path))
        if item_key is not None:
            counts = self._compare_by_key(items, expected, part, (path, item_key))
            same = counts.extra == counts.missing == 0
        else:
            counts = self._count(items, expected, part, path)
            if schema.get("uniqueItems") is True or self._rules_at(path).list_order == "any":
                same = counts.extra == counts.missing == 0
            else:
                same = len(items) == len(expected) and all(
                    self._is_same(item, other, part, path)
                    for item, other in zip(items, expected, strict=True)
                )
        same = same and isinstance(actual, list)
        return FieldResult(same, "" if same else self._say(actual, list(expected)), counts)

    def _compare_by_key(
        self,
        actual: Sequence[JsonValue],
        expected: Sequence[JsonValue],
        schema: Schema,
        place: tuple[Path, str],
    ) -> ListCounts:
        """Compare the objects of two lists that have the same value under a key.

        The fields of the objects are noted with the counts of their pairs. An object without a
        partner counts for each of its fields.
        """
        path, key = place
        results: dict[Path, list[FieldResult]] = {}
        matches = extra = missing = 0
        for item, partner in self._pairs(actual, expected, key):
            inner = self._inner()
            result = inner.compare(
                {} if item is None else item, {} if partner is None else partner, schema, path
            )
            is_pair = item is not None and partner is not None
            matches += is_pair and result.is_equal
            extra += item is not None and not (is_pair and result.is_equal)
            missing += partner is not None and not (is_pair and result.is_equal)
            for place_in_item, part in inner.fields.items():
                if len(place_in_item) > len(path):
                    results.setdefault(place_in_item, []).append(part)
        self.fields |= {at: _summary(parts) for at, parts in results.items()}
        return ListCounts(matches, extra, missing)

    def _pairs(
        self, actual: Sequence[JsonValue], expected: Sequence[JsonValue], key: str
    ) -> Iterator[tuple[JsonValue, JsonValue]]:
        """Yield the items that have the same value under a key; None for a missing partner."""
        waiting: dict[str, list[JsonValue]] = {}
        for item in expected:
            waiting.setdefault(self._normal_key(_member(item, key), ()), []).append(item)
        for item in actual:
            partners = waiting.get(self._normal_key(_member(item, key), ()), [])
            yield item, partners.pop(0) if partners else None
        for partners in waiting.values():
            for item in partners:
                yield None, item

    def _count(
        self,
        actual: Sequence[JsonValue],
        expected: Sequence[JsonValue],
        schema: Schema,
        path: Path,
    ) -> ListCounts:
        """Count the items of both lists: those that are written alike, then those that compare."""
        keys = [self._normal_key(item, path) for item in actual]
        expected_keys = [self._normal_key(item, path) for item in expected]
        return count_matches(
            keys,
            expected_keys,
            lambda place, other: self._is_same(actual[place], expected[other], schema, path),
        )

    def _normal_key(self, item: JsonValue, path: Path) -> str:
        """Return a text that is the same for items that are one by every rule."""
        if isinstance(item, float) and item.is_integer():
            item = int(item)
        if isinstance(item, str):
            rules = self._rules_at(path)
            item = normal_text(item, rules, is_case_sensitive=self._is_case_sensitive)
        return json.dumps(item, ensure_ascii=False, sort_keys=True)

    def _is_same(self, actual: JsonValue, expected: JsonValue, schema: Schema, path: Path) -> bool:
        """Return whether two values inside a list are one; their fields are not noted."""
        inner = self._inner()
        inner._is_brief = True
        return inner.compare(actual, expected, schema, path).is_equal

    def _say(self, actual: JsonValue, expected: JsonValue) -> str:
        return "" if self._is_brief else difference(actual, expected)

    def _inner(self) -> "_Comparer":
        """Return a comparer by the same rules that notes fields of its own."""
        inner = copy(self)
        inner._is_brief = False
        inner.fields = {}
        return inner

    def _is_same_scalar(
        self, actual: JsonValue, expected: JsonValue, schema: Schema, path: Path
    ) -> bool:
        rules = self._rules_at(path)
        if isinstance(actual, bool) or isinstance(expected, bool) or expected is None:
            return actual is expected
        if isinstance(expected, int | float):
            return isinstance(actual, int | float) and _is_close(actual, expected, rules)
        if not isinstance(actual, str) or not isinstance(expected, str):
            return False
        if schema.get("format") in {"date", "date-time"} or rules.date_tolerance_days:
            moments = _moment(actual), _moment(expected)
            if moments[0] is not None and moments[1] is not None:
                distance = abs((moments[0] - moments[1]).total_seconds())
                return distance <= rules.date_tolerance_days * _SECONDS_A_DAY
        return is_same_text(actual, expected, rules, is_case_sensitive=self._is_case_sensitive)

    def _rules_at(self, path: Path) -> ComparisonRules:
        """Return the rules of a field: its own, where it has some."""
        if not self._rules_by_field:
            return self._rules
        return self._rules_by_field.get(".".join(path), self._rules)


def _with_own(rules: ComparisonRules, own: FieldRules) -> ComparisonRules:
    values = own.model_dump(exclude={"field", "item_key"}, exclude_none=True)
    return rules.model_copy(update=values)


def _summary(parts: Sequence[FieldResult]) -> FieldResult:
    """Return how one field agrees in all objects of a list."""
    different = [part for part in parts if not part.is_equal]
    counts = ListCounts(
        sum(part.is_equal and not part.is_absent for part in parts),
        sum(part.is_in_output for part in different),
        sum(part.is_expected for part in different),
    )
    return FieldResult(
        not different,
        different[0].detail if different else "",
        counts,
        any(part.is_in_output for part in parts),
        any(part.is_expected for part in parts),
    )


def _member(item: JsonValue, key: str) -> JsonValue:
    return item.get(key) if isinstance(item, dict) else None


def _is_close(actual: float, expected: float, rules: ComparisonRules) -> bool:
    if actual == expected:
        return True
    if not (rules.number_tolerance or rules.relative_tolerance):
        return False
    try:
        distance = abs(actual - expected)
        return distance <= max(rules.number_tolerance, rules.relative_tolerance * abs(expected))
    except OverflowError:
        return False


def _moment(text: str) -> datetime | None:
    """Return the moment of an ISO 8601 date or time; without a zone it is one of UTC."""
    word = text.strip()
    if not _DATE.fullmatch(word):
        return None
    try:
        moment = datetime.fromisoformat(word.upper())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
