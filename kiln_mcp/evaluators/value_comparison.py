"""Compare an output with what is expected, by value: objects field by field, lists, numbers, dates.

Two JSON values are compared under the task's schema: the order of keys, `75001.0` beside `75001`,
and a field that is null or left out make no difference. Two texts are compared without white space
at their ends and in one Unicode form, unless the rules say otherwise.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, cast

from pydantic import JsonValue

from kiln_mcp.evaluators.schema_types import allows_type, as_typed
from kiln_mcp.evaluators.text_comparison import is_same_text, json_text, quote
from storage.records.evaluator import ComparisonRules
from storage.text.schema_references import resolve_reference

Path = tuple[str, ...]

_SECONDS_A_DAY: Final = 86_400
_SHOWN_DIFFERENCES: Final = 5
_ANY_SCHEMA: Final[Mapping[str, JsonValue]] = {}
_DEEPEST_FIELD: Final = 3
_MOST_PAIRS: Final = 1_000_000
"""Pairs of list items that are compared one by one; a longer list is compared as it is written."""


@dataclass(frozen=True, slots=True)
class ListCounts:
    """How the items of a list agree, order aside.

    Attributes:
        matches: Items that both lists have.
        extra: Items that the output alone has.
        missing: Items that the expected list alone has.
    """

    matches: int
    extra: int
    missing: int

    def measure(self, name: str) -> float:
        """Return `precision`, `recall` or `f1`, from 0 to 1; two empty lists agree.

        Source:
            van Rijsbergen (1979), Information Retrieval, chapter 7.
        """
        output_count = self.matches + self.extra
        expected_count = self.matches + self.missing
        if not output_count and not expected_count:
            return 1.0
        match name:
            case "precision":
                return self.matches / output_count if output_count else 0.0
            case "recall":
                return self.matches / expected_count if expected_count else 0.0
            case _:
                return 2 * self.matches / (output_count + expected_count)


MEASURES: Final = ("precision", "recall", "f1")


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
    schema: Mapping[str, JsonValue] | None = None,
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
    expected_value = _structure(expected, is_json=bool(schema))
    if isinstance(expected_value, str):
        actual_text = actual if isinstance(actual, str) else json.dumps(actual, ensure_ascii=False)
        same = is_same_text(actual_text, expected_value, rules, is_case_sensitive=is_case_sensitive)
        detail = "" if same else _difference(actual_text, expected_value)
        return ValueComparison(FieldResult(same, detail))
    actual_value = _structure(actual, is_json=True)
    comparer = _Comparer(rules, schema or _ANY_SCHEMA, is_case_sensitive=is_case_sensitive)
    try:
        total = comparer.compare(actual_value, expected_value, schema or _ANY_SCHEMA)
    except RecursionError:
        same = json_text(actual) == json_text(expected)
        return ValueComparison(FieldResult(same, "" if same else "nested too deeply to compare"))
    return ValueComparison(total, comparer.fields)


def field_paths(schema: Mapping[str, JsonValue] | None) -> list[Path]:
    """Return the paths of an object schema's fields, outer ones first; empty for any other."""
    return _paths(schema, schema, ()) if schema else []


def _paths(
    schema: Mapping[str, JsonValue], root: Mapping[str, JsonValue], path: Path
) -> list[Path]:
    properties = _target(schema, root).get("properties")
    if not isinstance(properties, dict) or len(path) >= _DEEPEST_FIELD:
        return []
    own_paths = [(*path, name) for name in properties]
    inner = [
        inner_path
        for name, part in properties.items()
        if isinstance(part, dict)
        for inner_path in _paths(part, root, (*path, name))
    ]
    return own_paths + inner


def _target(
    schema: Mapping[str, JsonValue], root: Mapping[str, JsonValue]
) -> Mapping[str, JsonValue]:
    """Return what a schema's local `$ref` names; a reference that leads nowhere allows anything."""
    target = resolve_reference(root, dict(schema))
    return _ANY_SCHEMA if target is None else target


def _structure(value: JsonValue, *, is_json: bool) -> JsonValue:
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


class _Comparer:
    """Compares values and notes each field of an object by its path."""

    def __init__(
        self, rules: ComparisonRules, root: Mapping[str, JsonValue], *, is_case_sensitive: bool
    ) -> None:
        self._rules = rules
        self._root = root
        self._is_case_sensitive = is_case_sensitive
        self.fields: dict[Path, FieldResult] = {}

    def compare(
        self,
        actual: JsonValue,
        expected: JsonValue,
        schema: Mapping[str, JsonValue],
        path: Path = (),
    ) -> FieldResult:
        """Compare two values, and all fields below them."""
        schema = self._branch(schema, expected)
        actual, expected = as_typed(actual, schema), as_typed(expected, schema)
        if isinstance(expected, dict):
            result = self._compare_objects(actual, expected, schema, path)
        elif isinstance(expected, list):
            result = self._compare_lists(actual, expected, schema)
        else:
            same = self._is_same_scalar(actual, expected, schema)
            result = FieldResult(same, "" if same else _difference(actual, expected))
        if path:
            self.fields[path] = replace(
                result, is_in_output=actual is not None, is_expected=expected is not None
            )
        return result

    def _compare_objects(
        self,
        actual: JsonValue,
        expected: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue],
        path: Path,
    ) -> FieldResult:
        members = actual if isinstance(actual, dict) else {}
        are_equal = isinstance(actual, dict)
        for name in {**expected, **members}:
            place = (*path, name)
            if ".".join(place) in self._rules.ignored_fields:
                continue
            part = _part(schema, name)
            result = self.compare(members.get(name), expected.get(name), part, place)
            are_equal = are_equal and result.is_equal
        return FieldResult(are_equal, "" if are_equal else _difference(actual, dict(expected)))

    def _compare_lists(
        self, actual: JsonValue, expected: Sequence[JsonValue], schema: Mapping[str, JsonValue]
    ) -> FieldResult:
        items = actual if isinstance(actual, list) else []
        part = schema.get("items")
        item_schema = part if isinstance(part, dict) else _ANY_SCHEMA
        counts = self._count(items, expected, item_schema)
        is_set = schema.get("uniqueItems") is True or self._rules.list_order == "any"
        if is_set:
            same = counts.extra == counts.missing == 0
        else:
            same = len(items) == len(expected) and all(
                self._is_same(item, other, item_schema)
                for item, other in zip(items, expected, strict=True)
            )
        same = same and isinstance(actual, list)
        detail = "" if same else _difference(actual, list(expected))
        return FieldResult(same, detail, counts)

    def _count(
        self,
        actual: Sequence[JsonValue],
        expected: Sequence[JsonValue],
        schema: Mapping[str, JsonValue],
    ) -> ListCounts:
        """Count the items of both lists: those that are written alike, then those that compare."""
        keys, expected_keys = _json_keys(actual), _json_keys(expected)
        alike = Counter(keys) & Counter(expected_keys)
        matches = alike.total()
        actual_places = _without(keys, alike)
        expected_places = _without(expected_keys, alike)
        if len(actual_places) * len(expected_places) <= _MOST_PAIRS:
            for index in actual_places:
                place = next(
                    (
                        other
                        for other in expected_places
                        if self._is_same(actual[index], expected[other], schema)
                    ),
                    None,
                )
                if place is not None:
                    expected_places.remove(place)
                    matches += 1
        return ListCounts(matches, len(actual) - matches, len(expected) - matches)

    def _is_same(
        self, actual: JsonValue, expected: JsonValue, schema: Mapping[str, JsonValue]
    ) -> bool:
        """Return whether two values inside a list are one; their fields are not noted."""
        inner = _Comparer(self._rules, self._root, is_case_sensitive=self._is_case_sensitive)
        return inner.compare(actual, expected, schema).is_equal

    def _is_same_scalar(
        self, actual: JsonValue, expected: JsonValue, schema: Mapping[str, JsonValue]
    ) -> bool:
        if isinstance(actual, bool) or isinstance(expected, bool) or expected is None:
            return actual is expected
        if isinstance(expected, int | float):
            return isinstance(actual, int | float) and _is_close(actual, expected, self._rules)
        if not isinstance(actual, str) or not isinstance(expected, str):
            return False
        if schema.get("format") in {"date", "date-time"} or self._rules.date_tolerance_days:
            moments = _moment(actual), _moment(expected)
            if moments[0] is not None and moments[1] is not None:
                distance = abs((moments[0] - moments[1]).total_seconds())
                return distance <= self._rules.date_tolerance_days * _SECONDS_A_DAY
        return is_same_text(
            actual, expected, self._rules, is_case_sensitive=self._is_case_sensitive
        )

    def _branch(self, schema: Mapping[str, JsonValue], value: JsonValue) -> Mapping[str, JsonValue]:
        """Return the branch of a choice of schemas that a value takes by its type."""
        schema = _target(schema, self._root)
        for word in ("anyOf", "oneOf"):
            choices = schema.get(word)
            if isinstance(choices, list):
                branches = [
                    _target(choice, self._root) for choice in choices if isinstance(choice, dict)
                ]
                suitable = [branch for branch in branches if allows_type(branch, value)]
                return next(iter(suitable or branches), _ANY_SCHEMA)
        return schema


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
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _part(schema: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    properties = schema.get("properties")
    part = properties.get(name) if isinstance(properties, dict) else None
    return part if isinstance(part, dict) else _ANY_SCHEMA


def _json_keys(items: Sequence[JsonValue]) -> list[str]:
    return [json.dumps(item, ensure_ascii=False, sort_keys=True) for item in items]


def _without(keys: Sequence[str], alike: Counter[str]) -> list[int]:
    """Return the places of the keys that remain once the alike ones are taken, each as often."""
    remaining = Counter(alike)
    places: list[int] = []
    for index, key in enumerate(keys):
        if remaining[key]:
            remaining[key] -= 1
        else:
            places.append(index)
    return places


def _difference(actual: JsonValue, expected: JsonValue) -> str:
    return f"{quote(json_text(actual))} against {quote(json_text(expected))}"
