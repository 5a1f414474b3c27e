"""References of a schema give way to what they name."""

from pydantic import JsonValue

from storage.text.schema_references import inline_references

_COLOR: JsonValue = {"type": "string", "enum": ["red"], "description": "A color."}


def test_a_reference_gives_way_to_its_definition_at_any_depth() -> None:
    schema: dict[str, JsonValue] = {
        "$defs": {"Color": _COLOR, "Box": {"properties": {"side": {"$ref": "#/$defs/Color"}}}},
        "properties": {"boxes": {"type": "array", "items": {"$ref": "#/$defs/Box"}}},
    }
    box: JsonValue = {"properties": {"side": _COLOR}}
    assert inline_references(schema) == {"properties": {"boxes": {"type": "array", "items": box}}}


def test_a_keyword_beside_a_reference_wins_over_the_definition() -> None:
    schema: dict[str, JsonValue] = {
        "$defs": {"Color": _COLOR},
        "$ref": "#/$defs/Color",
        "description": "Of the box.",
    }
    assert inline_references(schema)["description"] == "Of the box."
    assert inline_references(schema)["enum"] == ["red"]


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    schema: dict[str, JsonValue] = {
        "$defs": {},
        "properties": {"$ref": {"type": "string"}, "properties": {"type": "object"}},
    }
    assert inline_references(schema) == {"properties": schema["properties"]}
