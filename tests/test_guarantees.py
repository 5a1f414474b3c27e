"""Each promise and each input in docs that a test must keep names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CITATION = re.compile(r"`(tests/[\w/.]+)?(?:::(test_\w+))?`")


def promises(document: str) -> list[tuple[str, str]]:
    """Return each row's first cell with the last, which says how it is tested."""
    lines = (ROOT / "docs" / document).read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [(row[0], row[-1]) for row in rows if row[0] not in {"promise", "input"}]


def names_of_tests(file: Path) -> set[str]:
    """Return the names of the functions in a file, parsed and not imported."""
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("document", ["guarantees.md", "failed-inputs.md"])
def test_every_promise_names_a_test_that_exists(document: str) -> None:
    for promise, cell in promises(document):
        file, cited = ROOT, 0
        for path, name in CITATION.findall(cell):
            file = ROOT / path if path else file
            assert file.exists(), f"{promise}: {path}"
            if name:
                assert name in names_of_tests(file), f"{promise}: {name}"
            cited += 1
        assert cited, promise
