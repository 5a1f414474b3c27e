"""Items as people, assistants and files give them, and where they come from."""

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from kiln_mcp.run_configs.task_runs import ADAPTER
from storage import DataSource
from storage.errors import Refusal
from storage.exchange import ColumnMapping
from storage.exchange.columns import read_json
from storage.records.record import login_name
from storage.text.json_schema import find_problem

Author = Literal["person", "assistant"]


class DataItem(BaseModel):
    """One item: an input, with the output that is right for it if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input: JsonValue = Field(description="Text, or JSON that fits the task's input schema.")
    output: JsonValue = Field(
        default=None,
        description="The right output: text, or JSON that fits the schema. Left out: an input "
        "alone.",
    )
    topic: str | None = Field(
        default=None, description="Topic or template; items that share it stay in one split part."
    )
    tags: list[str] = Field(default=[], description="Extra tags, without spaces.")


class DataMapping(BaseModel):
    """Which columns of a file hold what."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input: str | None = Field(
        default=None,
        description="A column, a path such as messages.0.content, or a template such as "
        "'{{context}} {{question}}'. Left out: as it is recognised.",
    )
    output: str | None = Field(default=None, description="Left out: inputs alone.")
    output_fields: dict[str, str] | None = Field(
        default=None,
        description="Instead of output: the column of each field of a structured output.",
    )
    tags: str | None = None
    topic: str | None = None
    rating: str | None = Field(
        default=None, description="A column, or the name of a trace's user feedback."
    )
    model: str | None = Field(default=None, description="Which model wrote the output.")
    reasoning: str | None = None

    def columns(self) -> ColumnMapping:
        """Return the mapping as the reader takes it."""
        columns = {"rating": self.rating, "model": self.model, "reasoning": self.reasoning}
        return ColumnMapping(
            self.input or "",
            self.output or self.output_fields,
            self.tags,
            self.topic,
            {name: place for name, place in columns.items() if place},
        )


def mapping_data(mapping: ColumnMapping | None) -> Mapping[str, JsonValue] | None:
    """Return a mapping as the argument that gives it; None for none."""
    if mapping is None:
        return None
    output = mapping.output
    parts: dict[str, JsonValue] = {
        "input": mapping.input if isinstance(mapping.input, str) else dict(mapping.input),
        "output": output if isinstance(output, str) else None,
        "output_fields": dict(output) if isinstance(output, Mapping) else None,
        "tags": mapping.tags,
        "topic": mapping.topic,
        **{
            name: place
            for name, place in mapping.columns.items()
            if name in DataMapping.model_fields
        },
    }
    return {name: value for name, value in parts.items() if value}


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
