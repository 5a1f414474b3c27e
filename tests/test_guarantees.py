"""Each promise of docs/guarantees.md names tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CITATION = re.compile(r"`(tests/[\w/.]+)?(?:::(test_\w+))?`")


def promises() -> list[tuple[str, str]]:
    """Return each row's promise with the cell that says how it is tested."""
    lines = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [(row[0], row[1]) for row in rows if row[0] != "promise"]


def names_of_tests(file: Path) -> set[str]:
    """Return the names of the functions in a file, parsed and not imported."""
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_promise_names_a_test_that_exists() -> None:
    for promise, cell in promises():
        file, cited = ROOT, 0
        for path, name in CITATION.findall(cell):
            file = ROOT / path if path else file
            assert file.exists(), f"{promise}: {path}"
            if name:
                assert name in names_of_tests(file), f"{promise}: {name}"
            cited += 1
        assert cited, promise
