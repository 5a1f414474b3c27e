"""Compare a teacher's outputs with the right answers of their items, by value.

Right answers come from people, from files and from generated data. They are compared where their
words are fixed: short texts, and the fields of JSON that are no prose. Prose has many right
wordings, so evaluators alone judge it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evals.eval_items import ItemReference, read_items
from kiln_mcp.evaluators.references import REFERENCE_KEY, other_right_outputs
from kiln_mcp.evaluators.value_comparison import compare_values, structure
from storage import EvalConfig, ProjectStore, TaskRun
from storage.index.results import RecordRow
from storage.records.evaluator import ComparisonRules

Schema = Mapping[str, JsonValue]

_RULES: Final = ComparisonRules(text="normalised")
_MOST_WORDS: Final = 8
"""A longer text is prose."""
_MOST_CHARACTERS: Final = 60
"""The same for writing without spaces between words."""
_PAGE: Final = 500
"""Items that are read at once."""


def reads_right_answers(evaluator: EvalConfig) -> bool:
    """Return whether an evaluator compares outputs with right answers itself, by its own rules."""
    properties = evaluator.properties.model_dump()
    keys = (properties.get("reference_key"), *(properties.get("reference_keys") or ()))
    return REFERENCE_KEY in keys


async def agreements(
    store: ProjectStore,
    items: Sequence[ItemReference],
    outputs: Mapping[str, RecordRow],
    schema: Schema | None,
) -> dict[str, bool]:
    """Return whether outputs agree with the right answers of their items, where that can be told.

    Args:
        store: The project.
        items: The items, of which those without a right answer are left out.
        outputs: The files of their outputs, by the item's id.
        schema: JSON Schema of the outputs; None for plain text.
    """
    results: dict[str, bool] = {}
    answered_items = [item for item in items if item.id in outputs]
    for begin in range(0, len(answered_items), _PAGE):
        page = answered_items[begin : begin + _PAGE]
        runs = await store.read_all(TaskRun, [outputs[item.id].path for item in page])
        for item in await read_items(store, page):
            run = runs.get(outputs[item.id].path)
            right = (item.reference or {}).get(REFERENCE_KEY)
            if run is None or right is None:
                continue
            right_answers = [right, *other_right_outputs(item.reference)]
            if (verdict := agrees(run.output.output, right_answers, schema)) is not None:
                results[item.id] = verdict
    return results


def agrees(output: str, right_answers: Sequence[JsonValue], schema: Schema | None) -> bool | None:
    """Return whether an output agrees with one of the right answers; None if prose decides."""
    verdicts = [_agrees_with(output, right, schema) for right in right_answers]
    if True in verdicts:
        return True
    return None if None in verdicts else False


def _agrees_with(output: str, right: JsonValue, schema: Schema | None) -> bool | None:
    """Return whether an output agrees with a right answer; None if only prose could differ."""
    comparison = compare_values(output, right, _RULES, schema)
    if comparison.total.is_equal:
        return True
    right, output_value = (
        structure(value, is_json=schema is not None) for value in (right, output)
    )
    if not isinstance(right, dict):
        return None if _has_prose(right) else False
    if not isinstance(output_value, dict):
        return False
    inner = {path[:-1] for path in comparison.fields}
    leaves = {
        path: result.is_equal
        for path, result in comparison.fields.items()
        if path not in inner
        and not _has_prose([_value_at(right, path), _value_at(output_value, path)])
    }
    if not all(leaves.values()):
        return False
    return True if leaves else None


def _value_at(value: JsonValue, path: Sequence[str]) -> JsonValue:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _has_prose(value: JsonValue) -> bool:
    """Return whether a text, or one inside a list or an object, is prose."""
    if isinstance(value, str):
        return (
            len(value) > _MOST_CHARACTERS
            or len(value.split()) > _MOST_WORDS
            or "\n" in value.strip()
        )
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_prose, parts))
