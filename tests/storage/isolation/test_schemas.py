"""A schema that may be slow is checked in a worker, and a reference that leads nowhere is told."""

import json
import time
from collections.abc import Generator

import pytest
from pydantic import JsonValue

from storage.isolation.item_limits import WorkerLimits
from storage.isolation.pool import WorkerPool
from storage.isolation.schemas import find_schema_fault, is_quick, problem_with, schema_fault

Schema = dict[str, JsonValue]
NODE: Schema = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "v": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["v"],
        }
    },
    "$ref": "#/$defs/Node",
}


@pytest.fixture(scope="module")
def pool() -> Generator[WorkerPool]:
    made = WorkerPool(WorkerLimits(seconds=0.5), size=2)
    yield made
    made.close()


def doubling(depth: int) -> Schema:
    """A schema whose references double at each level."""
    levels: Schema = {
        f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}, {"$ref": f"#/$defs/l{n + 1}"}]}
        for n in range(depth)
    }
    return {"$defs": {**levels, f"l{depth}": {"type": "object"}}, "$ref": "#/$defs/l0"}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"properties": {"a": {"$ref": "#/$defs/Nope"}}}, "'#/$defs/Nope' leads to nothing"),
        ({"properties": {"a": {"$ref": "http://x.test/y"}}}, "leads out of this schema"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "leads out of this schema"),
        ({"$ref": "#"}, "'#' is endless"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "is endless"),
        ({"if": {"$ref": "#"}}, "is endless"),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "is endless"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "is endless"),
        (
            {"properties": {"a": {"$ref": "#/properties/b/enum"}, "b": {"enum": [1]}}},
            "not a schema",
        ),
        ({"properties": {"a": {"exclusiveMinimum": True}}}, "True is not of type 'number'"),
        ({"properties": {"a": {"pattern": "("}}}, "'regex'"),
        ({"patternProperties": {"(?=a": {}}}, "'regex'"),
    ],
)
def test_a_schema_that_no_value_can_be_checked_against_is_refused(
    pool: WorkerPool, schema: Schema, reason: str
) -> None:
    fault = schema_fault(pool, json.dumps(schema))
    assert fault is not None
    assert reason in fault


@pytest.mark.parametrize(
    "schema",
    [
        NODE,
        {"properties": {"a": {"$ref": "#"}}},
        {"items": {"$ref": "#"}},
        {"additionalProperties": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        {"properties": {"$ref": {"type": "string"}}, "examples": [{"$ref": "#/nowhere"}]},
        {"$id": "http://x.test/s", "$defs": {"a": {}}, "properties": {"b": {"$ref": "#/$defs/a"}}},
        {"$defs": {"a": {"$anchor": "here", "type": "null"}}, "items": {"$ref": "#here"}},
        {"$defs": {"a/b": {}}, "items": {"$ref": "#/$defs/a~1b"}},
    ],
)
def test_a_reference_that_recurs_or_is_none_is_taken(pool: WorkerPool, schema: Schema) -> None:
    assert schema_fault(pool, json.dumps(schema)) is None


def test_a_value_is_checked_against_a_schema_that_recurs(pool: WorkerPool) -> None:
    assert problem_with(pool, {"v": "x", "next": {"v": "y", "next": None}}, NODE) is None
    problem = problem_with(pool, {"v": "x", "next": {"v": 3}}, NODE)
    assert problem is not None
    assert "next" in problem


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(?=a)(a+)+$"}, "a" * 40 + "!"),
        ({"patternProperties": {"^(a+)+$": {}}}, {"a" * 40 + "!": 1}),
        (doubling(24), {}),
        ({"uniqueItems": True}, [{"a": n} for n in range(5000)]),
        ({"$ref": "#"}, 1),
    ],
)
def test_a_check_that_takes_too_long_fails_that_value_in_time(
    pool: WorkerPool, schema: Schema, value: JsonValue
) -> None:
    started = time.monotonic()
    problem = problem_with(pool, value, schema)
    assert problem is not None
    assert problem.startswith("checking it against the schema ")
    assert time.monotonic() - started < 30
    assert problem_with(pool, "aaa", {"pattern": "^(?=a)(a+)+$"}) is None


@pytest.mark.parametrize(
    ("schema", "quick"),
    [
        ({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}, True),
        ({"type": "string", "pattern": "^(a+)+$"}, True),
        ({"$defs": {"a": {"type": "null"}}, "items": {"$ref": "#/$defs/a"}}, True),
        ({"type": "string", "pattern": "(?=a)"}, False),
        ({"uniqueItems": True}, False),
        ({"unevaluatedProperties": False}, False),
        (NODE, False),
        (doubling(24), False),
        ({"unknown-keyword": 1}, False),
    ],
)
def test_only_what_takes_linear_time_is_checked_here(schema: Schema, quick: bool) -> None:
    assert is_quick(json.dumps(schema), 100) is quick


def test_a_large_value_is_checked_in_a_worker() -> None:
    assert not is_quick(json.dumps({"items": {"enum": list(range(100))}}), 1_000_000)


async def test_a_schema_that_is_nested_without_end_is_refused(pool: WorkerPool) -> None:
    schema: Schema = {}
    for _ in range(5000):
        schema = {"not": schema}
    with pytest.raises(ValueError, match="nested too deeply"):
        await find_schema_fault(pool, schema)
    assert schema_fault(pool, '{"not":' * 5000 + "{}" + "}" * 5000) is not None
