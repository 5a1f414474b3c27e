"""Whether a JSON value fits a JSON Schema (draft 2020-12); worker processes check what may be slow.

Schemas come from projects and callers. What blocks must be called in a thread.
"""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from storage.isolation import schemas
from storage.isolation.pool import shared_pool


def problem_with(value: JsonValue, schema: Mapping[str, JsonValue]) -> str | None:
    """Return what keeps a value from fitting a schema, or None when it fits. Blocks.

    Raises:
        ValueError: The schema itself is not valid, or refers to one that lies elsewhere.
    """
    return schemas.problem_with(shared_pool(), value, schema)


async def find_problem(value: JsonValue, schema: Mapping[str, JsonValue]) -> str | None:
    """Return what keeps a value from fitting a schema, or None when it fits.

    Raises:
        ValueError: The schema itself is not valid, or refers to one that lies elsewhere.
    """
    return await schemas.find_problem(shared_pool(), value, schema)


async def check_schema(schema: Mapping[str, JsonValue]) -> None:
    """Refuse what cannot be used as a JSON Schema.

    Raises:
        ValueError: It is none, or a `$ref` leads nowhere, elsewhere or round in a circle.
    """
    fault = await schemas.find_schema_fault(shared_pool(), schema)
    if fault is not None:
        raise ValueError(fault)


def schema_fault(schema_text: str) -> str | None:
    """Return why a schema cannot be saved, None if it can. Blocks."""
    try:
        json.loads(schema_text)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    return schemas.schema_fault(shared_pool(), schema_text)
