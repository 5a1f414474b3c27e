"""Items as people, assistants and files give them, and where they come from."""

import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from kiln_mcp.run_configs.task_runs import ADAPTER
from storage import DataSource
from storage.errors import InvalidValue, Refusal
from storage.exchange import ColumnMapping
from storage.exchange.columns import read_json
from storage.records.record import login_name
from storage.text.json_schema import find_problem
from storage.text.suggestions import did_you_mean

Author = Literal["person", "assistant"]


TextOrObject = Annotated[
    JsonValue, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})
]
"""A value of any kind; its schema names what inputs and outputs usually are."""


class DataItem(BaseModel):
    """One item: an input, with the output that is right for it if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input: TextOrObject = Field(description="Text, or JSON that fits the task's schema.")
    output: TextOrObject = Field(default=None, description="The right output, if it is known.")
    topic: str | None = Field(
        default=None, description="Items that share it stay in one part of a split."
    )
    tags: list[str] = []


_PLACES: Final = ("input", "output", "tags", "topic", "rating", "model", "reasoning")
"""What a column of a file can hold; input and output also by field, as "output.city"."""


def read_mapping(places: Mapping[str, str] | None) -> ColumnMapping | None:
    """Return which columns hold what, as the reader takes it; None for none.

    Raises:
        InvalidValue: A column cannot hold what is named.
    """
    if not places:
        return None
    fields: dict[str, dict[str, str]] = {"input": {}, "output": {}}
    places_by_name: dict[str, str] = {}
    for name, column in places.items():
        part, _, field = name.partition(".")
        if field and part in fields:
            fields[part][field] = column
        elif name in _PLACES:
            places_by_name[name] = column
        else:
            raise InvalidValue(
                "Nothing was added: the mapping has no '{name}'.{hint} It takes: {names}, and "
                "fields such as output.city.",
                name=name,
                hint=did_you_mean(name, _PLACES),
                names=_PLACES,
            )
    return ColumnMapping(
        places_by_name.pop("input", None) or fields["input"] or "",
        places_by_name.pop("output", None) or fields["output"] or None,
        places_by_name.pop("tags", None),
        places_by_name.pop("topic", None),
        places_by_name,
    )


def mapping_places(mapping: ColumnMapping | None) -> Mapping[str, str] | None:
    """Return a mapping as the argument that gives it; None for none."""
    if mapping is None:
        return None
    places: dict[str, str] = {}
    for name, part in (("input", mapping.input), ("output", mapping.output)):
        if isinstance(part, Mapping):
            places |= {f"{name}.{field}": column for field, column in part.items()}
        elif part:
            places[name] = part
    rest = {"tags": mapping.tags, "topic": mapping.topic, **mapping.columns}
    return places | {name: place for name, place in rest.items() if place and name in _PLACES}


def source_of(author: Author, file_name: str | None = None) -> DataSource:
    """Return where items come from, as Kiln's files hold it: a file, a person or the assistant."""
    if file_name is not None:
        return DataSource(type="file_import", properties={"file_name": file_name})
    if author == "person":
        return DataSource(type="human", properties={"created_by": login_name()})
    assistant = {"model_name": "host", "model_provider": "host", "adapter_name": ADAPTER}
    return DataSource(type="synthetic", properties=dict(assistant))


def _misfit(position: int, reason: str) -> Refusal:
    return Refusal(
        "Item {position} cannot be used: {reason}. No item was saved: correct it and give all "
        "of them again.",
        position=position,
        reason=reason,
    )


async def as_stored_text(
    value: JsonValue, schema_text: str | None, position: int, part: str
) -> str:
    """Return a value as the format holds it: text, or JSON text where there is a schema.

    Raises:
        Refusal: It does not fit the schema, or is empty.
    """
    try:
        if schema_text is None:
            text = value if isinstance(value, str) else _json_text(value)
            if not text.strip():
                raise _misfit(position, f"its {part} is empty")
            return text
        document = read_json(value) if isinstance(value, str) else value
        text = _json_text(document)
    except ValueError as error:
        raise _misfit(position, f"its {part} is not JSON ({error})") from error
    try:
        problem = await find_problem(json.loads(text), json.loads(schema_text))
    except (ValueError, RecursionError) as error:
        fault = f"its {part} cannot be checked against the task's schema: {error}"
        raise _misfit(position, fault) from error
    if problem is not None:
        raise _misfit(position, f"its {part} does not fit the task's schema: {problem}")
    return text


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
