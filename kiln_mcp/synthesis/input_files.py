"""Inputs of the caller that come from a table: questions, objects, or users of conversations."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Final, cast

import anyio.to_thread
from pydantic import JsonValue

from kiln_mcp.synthesis.plan_settings import PlanSettings
from kiln_mcp.synthesis.user_cases import FIELDS
from kiln_mcp.workbench.workspace import Workspace
from storage import Task
from storage.errors import Refusal, system_reason
from storage.exchange import TableOptions, open_source

_INPUT: Final = "input"
_MOST_INPUTS: Final = 1000


async def with_file(workspace: Workspace, task: Task, settings: PlanSettings) -> PlanSettings:
    """Return settings whose inputs are the rows of the file that they name; unchanged without one.

    Raises:
        Refusal: The file cannot be read, a row is broken, or it has no inputs.
    """
    if settings.inputs_file is None:
        return settings
    if settings.inputs:
        raise Refusal("Give either `inputs` or `inputs_file`, not both.")
    place = workspace.place(settings.inputs_file)
    is_of_users, has_schema = bool(settings.turns), task.input_json_schema is not None
    rows = await anyio.to_thread.run_sync(_rows_of, place)
    values = [
        value
        for row in rows
        if (value := _input_of(row, is_of_users=is_of_users, has_schema=has_schema))
    ]
    if not values:
        raise Refusal(
            "{place} has no inputs. Name a column `input`, and for conversations also `goal`, and "
            "`persona` and `gives_up` where they are known.",
            place=str(place),
        )
    return settings.model_copy(update={"inputs": values, "inputs_file": None})


def _rows_of(place: Path) -> list[Mapping[str, object]]:
    """Return the rows of a table.

    Raises:
        Refusal: It cannot be read, a row is broken, or there are too many.
    """
    rows: list[Mapping[str, object]] = []
    try:
        with open_source(place, TableOptions()) as source:
            for number, row in islice(source.rows(), _MOST_INPUTS + 1):
                if isinstance(row, str):
                    raise _unusable(place, f"{source.unit} {number}: {row}")
                rows.append(row)
    except OSError as error:
        raise _unusable(place, system_reason(error)) from error
    if len(rows) > _MOST_INPUTS:
        raise Refusal(
            "{place} has more than {most} inputs. Give at most so many in one plan.",
            place=str(place),
            most=_MOST_INPUTS,
        )
    return rows


def _input_of(row: Mapping[str, object], *, is_of_users: bool, has_schema: bool) -> JsonValue:
    """Return the input of a row, or the user of a conversation; None for a row without any."""
    fields = {
        name: cast("JsonValue", value) for name, value in row.items() if value not in (None, "")
    }
    if is_of_users:
        return {name: fields[name] for name in (_INPUT, *FIELDS) if name in fields}
    if _INPUT in fields:
        return fields[_INPUT]
    return fields if has_schema else None


def _unusable(place: Path, reason: str) -> Refusal:
    return Refusal(
        "The inputs of {place} cannot be used: {reason}. Give a table with the column `input`.",
        place=str(place),
        reason=reason,
    )
