"""What docstrings name is there: errors below Raises, attributes below Attributes."""

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("kiln_mcp", "agent", "storage")
ENTRY: Final = re.compile(r"^    (\w[\w.]*)(?: \([^)]*\))?:", re.MULTILINE)
OTHERS: Final = frozenset(
    {"Timeout", "ValidationError", "CancelledError", "DatabaseError", "MCPError", "UsageError"}
)
"""Errors of libraries."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _definitions() -> Iterator[tuple[str, Definition]]:
    """Yield each function and class of the packages with its place."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, Definition):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


@cache
def definitions() -> Sequence[tuple[str, Definition]]:
    """Return each function and class of the packages with its place, parsed once."""
    return tuple(_definitions())


def names_below(heading: str, node: Definition) -> list[str]:
    """Return the names of the entries below a heading of a docstring."""
    text = ast.get_docstring(node) or ""
    _, found, rest = text.partition(f"{heading}:\n")
    section = re.split(r"\n(?=\S)", rest, maxsplit=1)[0] if found else ""
    return [name.rpartition(".")[2] for name in ENTRY.findall(section)]


def members(node: ast.ClassDef) -> set[str]:
    """Return the names that a class or its methods define."""
    names: set[str] = set()
    for part in ast.walk(node):
        match part:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Attribute(attr=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case _:
                pass
    return names


def test_every_error_that_a_docstring_names_exists() -> None:
    places = definitions()
    classes = {node.name for _, node in places if isinstance(node, ast.ClassDef)}
    unknown = [
        (place, name)
        for place, node in places
        for name in names_below("Raises", node)
        if name not in classes | OTHERS and not hasattr(builtins, name) and name != "Error"
    ]
    assert unknown == []


def test_every_attribute_that_a_docstring_names_exists() -> None:
    places = definitions()
    classes = {node.name: node for _, node in places if isinstance(node, ast.ClassDef)}

    def inherited(node: ast.ClassDef) -> set[str]:
        bases = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]
        above = [classes[base] for base in bases if base in classes and base != node.name]
        return members(node).union(*map(inherited, above))

    unknown = [
        (place, name)
        for place, node in places
        if isinstance(node, ast.ClassDef)
        for name in names_below("Attributes", node)
        if name not in inherited(node) and not name.isupper()
    ]
    assert unknown == []
