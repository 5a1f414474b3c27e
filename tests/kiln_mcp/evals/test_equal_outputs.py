"""What exact_match calls equal, from the door that a person has."""

import json
from pathlib import Path

import pytest

from bench import BenchSetup, open_bench
from storage import Task

EXACT: dict[str, object] = {"type": "exact_match", "reference_key": "reference_answer"}
ADDRESS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
    "required": ["city", "zip"],
}
REFERENCE = '{"city": "Café", "zip": 75001}'


async def mean_of(folder: Path, schema: str | None, answer: str, reference: str) -> float | None:
    task = Task(name="Read", instruction="Read it.", output_json_schema=schema)
    async with open_bench(folder, BenchSetup(task, lambda _: answer)) as bench:
        await bench.add_items({"a letter": reference})
        await bench.evaluator(**EXACT)
        await bench.config("only", "Read it.")
        report = await bench.run()
        return next(row.mean for row in report.table if row.score == "right")


@pytest.mark.parametrize(
    ("answer", "mean"),
    [
        ('{"zip": 75001, "city": "Café"}', 1.0),
        ('{"city":"Café","zip":75001.0}', 1.0),
        ('{"city": "Cafe\\u0301", "zip": 75001}\n', 1.0),
        ('{"city": "Café", "zip": 75002}', 0.0),
        ('{"city": "Cafe", "zip": 75001}', 0.0),
    ],
)
async def test_structured_outputs_are_equal_by_value(
    tmp_path: Path, answer: str, mean: float
) -> None:
    assert await mean_of(tmp_path, json.dumps(ADDRESS), answer, REFERENCE) == mean


@pytest.mark.parametrize(
    ("answer", "mean"), [("Café\n", 1.0), ("  Cafe\u0301", 1.0), ("Café.", 0.0), ("café", 0.0)]
)
async def test_texts_are_equal_without_white_space_at_their_ends_and_in_any_unicode_form(
    tmp_path: Path, answer: str, mean: float
) -> None:
    assert await mean_of(tmp_path, None, answer, "Café") == mean
