"""Compare a spec with the JSON schema of the task's output, without a model."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from kiln_mcp.spec_texts.findings import finding
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Finding,
    FindingKind,
    Polarity,
    SpecContent,
)
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.spec_texts.text_terms import normal, terms

JsonSchema = Mapping[str, JsonValue]

_IDENTIFIER: Final = re.compile(
    r"`([A-Za-z_][\w.\[\]-]*)`|(?<![\w{<$`.])([a-z]+(?:_[a-z0-9]+)+)(?![\w(}>])"
)
_NOUN: Final = (
    r"(?:fields?|keys?|propert(?:y|ies)|attributes?|feld(?:e[rs]|ern?)?|schlüsseln?|champs?|campos?"
    r"|フィールド|項目|キー|属性)"
)
_NOUN_BEFORE: Final = re.compile(
    rf"(?:\b|(?<=[\u3040-\u9fff])){_NOUN}(?: (?:named|called))? ?$", re.I
)
_NOUN_AFTER: Final = re.compile(rf" ?{_NOUN}\b|(?:フィールド|項目|キー|属性)", re.I)
_CALLS: Final = re.compile(
    r"\b(?:calls?|called|tools?|functions?|invokes?|invoked|ruft|aufgerufen|werkzeuge?)\b|呼"
)
_STYLES: Final = frozenset({"snake_case"})
_WINDOW: Final = 24
_VALUE: Final = re.compile(
    r"`? ?(?:is|must be|equals|has the value|ist|hat den Wert|lautet|は|を|:|=)? ?"
    r"[\"“„「'`]([^\"“”„「」'`]{1,40})[\"”“」'`]"
)
_FURTHER_VALUES: Final = re.compile(
    r"\bone of\b|\beither\b|\bor\b|\beine[rs]? von\b|\boder\b|のいずれか|または|か"
)


@dataclass(frozen=True, slots=True)
class Field:
    """A property of a schema: its last name, and its values if they are listed."""

    name: str
    values: tuple[str, ...] = ()


def schema_findings(
    content: SpecContent,
    schema: JsonSchema | None,
    input_schema: JsonSchema | None,
    other_texts: str,
) -> Iterator[Finding]:
    """Yield where the spec names a field or a value that no output can have.

    Args:
        content: The spec.
        schema: The schema of the task's output; None if it is plain text.
        input_schema: The schema of its input, whose fields a spec may name as well.
        other_texts: Texts that may explain an identifier: the instruction, documents, inputs.
    """
    if schema is None or not _is_object(schema):
        return
    fields = {field.name: field for field in fields_of_schema(schema)}
    input_fields = frozenset(field.name for field in fields_of_schema(input_schema or {}))
    other_texts = f"{other_texts} {' '.join(input_fields)}"
    for clause in content.clauses:
        if content.kind is not SpecKind.APPROPRIATE_TOOL_USE:
            yield from _unknown_fields(clause, schema, fields, other_texts)
        yield from _impossible_values(clause, fields, input_fields)
        yield from _certain_values(clause, fields)
    yield from _impossible_examples(content, schema)


def fields_of_schema(schema: JsonSchema) -> Iterator[Field]:
    """Yield the properties of a schema, those of its parts too."""
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, part in properties.items():
            values = part.get("enum") if isinstance(part, Mapping) else None
            options = values if isinstance(values, list) else []
            yield Field(name, tuple(value for value in options if isinstance(value, str)))
    for part in _parts(schema):
        yield from fields_of_schema(part)


def _parts(schema: JsonSchema) -> Iterator[JsonSchema]:
    for key, value in schema.items():
        children: list[JsonValue] = []
        if key in {"properties", "$defs", "definitions", "patternProperties"}:
            children = (
                list(cast("JsonSchema", value).values()) if isinstance(value, Mapping) else []
            )
        elif key in {"items", "additionalProperties", "not"}:
            children = [value]
        elif key in {"anyOf", "oneOf", "allOf", "prefixItems"} and isinstance(value, list):
            children = value
        yield from (child for child in children if isinstance(child, Mapping))


def _is_object(schema: JsonSchema) -> bool:
    return isinstance(schema.get("properties"), Mapping) and bool(schema["properties"])


def _is_closed(schema: JsonSchema) -> bool:
    return schema.get("additionalProperties") is False


def _unknown_fields(
    clause: Clause, schema: JsonSchema, fields: Mapping[str, Field], other_texts: str
) -> Iterator[Finding]:
    texts = json.dumps(schema, ensure_ascii=False) + other_texts
    if _CALLS.search(clause.text.casefold()):
        return
    for hit in _IDENTIFIER.finditer(clause.text):
        last = re.split(r"[.\[]", (hit[1] or hit[2]).rstrip("[].0123456789"))[-1]
        is_named = _is_named_field(clause.text, hit.start(), hit.end())
        if last in texts or last in _STYLES or not (is_named or "_" in last):
            continue
        is_sure = _is_closed(schema) and (is_named or hit[1] is not None)
        yield finding(
            FindingKind.CONFLICTING,
            clause.id,
            hit[0],
            f'The schema of the task\'s output has no field "{last}"; its fields are: '
            f"{', '.join(sorted(fields))}.",
            confidence=0.85 if is_sure else 0.45,
        )


def _is_named_field(text: str, start: int, end: int) -> bool:
    """Return whether the word "field" stands beside an identifier."""
    lead = text[max(0, start - _WINDOW) : start]
    return bool(_NOUN_BEFORE.search(lead) or _NOUN_AFTER.match(text, end))


def _named_fields(clause: Clause, fields: Mapping[str, Field]) -> list[tuple[Field, int, int]]:
    """Return the fields with options values that a clause names, and where each name stands."""
    names: list[tuple[Field, int, int]] = []
    for field in fields.values():
        hit = re.search(rf"(?<![A-Za-z_]){re.escape(field.name)}(?![A-Za-z_])", clause.text, re.I)
        if field.values and hit is not None:
            names.append((field, hit.start(), hit.end()))
    return names


def _impossible_values(
    clause: Clause, fields: Mapping[str, Field], input_fields: frozenset[str]
) -> Iterator[Finding]:
    for field, start, end in _named_fields(clause, fields):
        is_marked = clause.text[max(0, start - 1) : start] == "`" or _is_named_field(
            clause.text, start, end
        )
        hit = _VALUE.match(clause.text, end)
        if hit is None or not is_marked or field.name in input_fields:
            continue
        value = hit[1].strip(" .,;")
        if normal(value) in {normal(option) for option in field.values}:
            continue
        is_wish = clause.polarity is Polarity.MUST
        yield finding(
            FindingKind.CONFLICTING if is_wish else FindingKind.VACUOUS,
            clause.id,
            value,
            f'The schema of the task\'s output does not allow "{value}" for {field.name}; '
            f"it allows: {', '.join(field.values)}.",
            confidence=0.85,
        )


def _certain_values(clause: Clause, fields: Mapping[str, Field]) -> Iterator[Finding]:
    """Yield clauses that only repeat the values that the schema enforces anyway."""
    if clause.polarity is not Polarity.MUST:
        return
    text = normal(clause.text)
    for field, _, _ in _named_fields(clause, fields):
        if not all(normal(value) in text for value in field.values):
            continue
        rest = text.replace(normal(field.name), " ")
        for value in field.values:
            rest = rest.replace(normal(value), " ")
        if _FURTHER_VALUES.search(rest) and len(terms(_FURTHER_VALUES.sub(" ", rest))) <= 1:
            yield finding(
                FindingKind.VACUOUS,
                clause.id,
                clause.text,
                f"The schema of the task's output allows {field.name} no other values: "
                "every output meets this.",
                confidence=0.7,
            )


def _impossible_examples(content: SpecContent, schema: JsonSchema) -> Iterator[Finding]:
    """Yield examples that pass and that the schema does not let the task write."""
    for example in content.examples:
        value = _json_object(example.output)
        if value is None or example.verdict is not ExampleVerdict.PASS:
            continue
        fault = _fault(value, schema)
        if fault:
            yield finding(
                FindingKind.CONTRADICTING_EXAMPLES,
                example.clause,
                example.output,
                f"This example passes, and the task's output schema forbids it: {fault}.",
                confidence=0.8,
            )


def _json_object(text: str) -> Mapping[str, JsonValue] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return cast("Mapping[str, JsonValue]", value) if isinstance(value, dict) else None


def _fault(value: Mapping[str, JsonValue], schema: JsonSchema) -> str:
    """Return what the schema forbids; fields may be missing, since examples are often excerpts."""
    properties = cast("Mapping[str, JsonValue]", schema["properties"])
    unknown = [name for name in value if name not in properties]
    if unknown and _is_closed(schema):
        return f"it has no field {unknown[0]}"
    for name, part in properties.items():
        values = part.get("enum") if isinstance(part, Mapping) else None
        if name in value and isinstance(values, list) and value[name] not in values:
            return f"{name} may not be {value[name]}"
    return ""
