"""Items as people and files give them, and the runs that they become."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from kiln_mcp.datasets.topics import TOPIC
from kiln_mcp.run_configs.task_runs import ADAPTER
from storage import DataSource, Task, TaskOutput, TaskRun
from storage.errors import Refusal
from storage.records.record import login_name
from storage.text.json_schema import find_problem

Author = Literal["person", "assistant"]


class GivenItem(BaseModel):
    """One item: an input with the output that is right for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input: JsonValue = Field(description="Text, or JSON that fits the task's input schema.")
    output: JsonValue = Field(description="The right output: text, or JSON that fits the schema.")
    topic: str | None = Field(
        default=None, description="Topic or template; items that share it stay in one split part."
    )
    tags: list[str] = Field(default=[], description="Extra tags, without spaces.")


_ITEMS: Final = TypeAdapter(list[GivenItem])


@dataclass(frozen=True, slots=True)
class ItemOrigin:
    """Who or what items come from: a file, or else a person or their assistant."""

    author: Author
    file_name: str | None = None

    def source(self, topic: str | None) -> DataSource:
        """Return the source as Kiln's files hold it."""
        extra: dict[str, str | int | float] = {TOPIC: topic} if topic else {}
        if self.file_name is not None:
            return DataSource(type="file_import", properties={"file_name": self.file_name, **extra})
        if self.author == "person":
            return DataSource(type="human", properties={"created_by": login_name(), **extra})
        assistant = {"model_name": "host", "model_provider": "host", "adapter_name": ADAPTER}
        return DataSource(type="synthetic", properties={**assistant, **extra})


def unreadable_items(path: str, reason: str) -> Refusal:
    """Return the refusal of a file that holds no items."""
    return Refusal(
        "The items in {path} cannot be read: {reason}. Give a .csv file with columns input and "
        "output (topic and tags if you like), or a .json list or .jsonl file of such objects.",
        path=path,
        reason=reason,
    )


def _misfit(position: int, reason: str) -> Refusal:
    return Refusal(
        "Item {position} cannot be used: {reason}. No item was saved: correct it and add all "
        "of them again.",
        position=position,
        reason=reason,
    )


def read_items(path: Path, content: str) -> list[GivenItem]:
    """Return the items of a .csv, .json or .jsonl file.

    Raises:
        Refusal: It is none of these, or an item lacks its input or output.
    """
    try:
        match path.suffix.casefold():
            case ".csv":
                rows: list[JsonValue] = [
                    _from_row(row) for row in csv.DictReader(io.StringIO(content))
                ]
            case ".jsonl":
                rows = [json.loads(line) for line in content.splitlines() if line.strip()]
            case ".json":
                rows = json.loads(content)
            case other:
                raise unreadable_items(
                    str(path), f"{other} is not known" if other else "its name has no suffix"
                )
        return _ITEMS.validate_python(rows)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise unreadable_items(str(path), f"{place}: {fault['msg']}") from error
    except (ValueError, RecursionError, csv.Error) as error:
        raise unreadable_items(str(path), str(error)) from error


def _from_row(row: Mapping[str, str | None]) -> JsonValue:
    """Return a CSV row as an item; empty cells count as left out, tags are split at commas."""
    cells: dict[str, JsonValue] = {
        name: row[name] for name in ("input", "output", "topic") if row.get(name)
    }
    tags = [tag.strip() for tag in (row.get("tags") or "").split(",") if tag.strip()]
    return {**cells, "tags": list[JsonValue](tags)}


async def as_stored_text(
    value: JsonValue, schema_text: str | None, position: int, part: str
) -> str:
    """Return a value as the format holds it: text, or JSON text where there is a schema.

    Raises:
        Refusal: It does not fit the schema, or is empty.
    """
    if schema_text is None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if not text.strip():
            raise _misfit(position, f"its {part} is empty")
        return text
    document = value
    if isinstance(value, str):
        try:
            document = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _misfit(position, f"its {part} is not JSON ({error})") from error
    try:
        problem = await find_problem(document, json.loads(schema_text))
    except (ValueError, RecursionError) as error:
        fault = f"its {part} cannot be checked against the task's schema: {error}"
        raise _misfit(position, fault) from error
    if problem is not None:
        raise _misfit(position, f"its {part} does not fit the task's schema: {problem}")
    return json.dumps(document, ensure_ascii=False)


async def runs_of(
    task: Task, items: Sequence[GivenItem], origin: ItemOrigin, tags: Sequence[str]
) -> list[TaskRun]:
    """Return the runs that given items become.

    Raises:
        Refusal: An item does not fit the task.
    """
    runs: list[TaskRun] = []
    for position, item in enumerate(items, 1):
        source = origin.source(item.topic)
        text = await as_stored_text(item.input, task.input_json_schema, position, "input")
        try:
            runs.append(
                TaskRun(
                    input=text,
                    input_source=source,
                    output=TaskOutput(
                        output=await as_stored_text(
                            item.output, task.output_json_schema, position, "output"
                        ),
                        source=origin.source(None),
                    ),
                    tags=tuple(dict.fromkeys([*tags, *item.tags])),
                )
            )
        except ValidationError as error:
            raise _misfit(position, error.errors(include_url=False)[0]["msg"]) from error
    return runs
