"""The plain data of an answer, for models and people at any door.

`plain` leaves empty values out. `answer_text` makes the text form of the same data, so that the two
always mean the same.
"""

from typing import get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from storage.text.characters import repair_texts


def plain(result: BaseModel) -> dict[str, JsonValue]:
    """Return the answer as JSON data without nulls and empty lists.

    A list of records that every answer of its kind has stays: that there are none is the answer.
    """
    data: dict[str, JsonValue] = repair_texts(result.model_dump(mode="json"))
    values = {name: _prune(value) for name, value in data.items()}
    fields = type(result).model_fields
    return {
        name: value
        for name, value in values.items()
        if value is not None and (value != [] or _lists_records(fields.get(name)))
    }


def _lists_records(field: FieldInfo | None) -> bool:
    if field is None or not field.is_required() or get_origin(field.annotation) is not list:
        return False
    [kind] = get_args(field.annotation)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _prune(node: JsonValue) -> JsonValue:
    if isinstance(node, list):
        return [_prune(item) for item in node]
    if isinstance(node, dict):
        values = {key: _prune(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not None and value != []}
    return node
