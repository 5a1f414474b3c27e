"""The trees of errors drawn in docstrings are true, and errors that nobody tells apart are one."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
MODULES: Final = sorted(
    path.relative_to(ROOT)
    for package in ("kiln_mcp", "agent", "storage")
    for path in (ROOT / package).rglob("errors.py")
)
LINE: Final = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+|[a-z][\w.]*\.[A-Z]\w+)(?:\s|$)")


def classes_of(path: Path) -> dict[str, str]:
    """Return the errors that a module defines, each with the name of what it derives from."""
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.bases:
            base = ast.unparse(node.bases[0]).rpartition(".")[2]
            known = getattr(builtins, base, None)
            if base in found or base.endswith("Error") or isinstance(known, type) or found:
                found[node.name] = base
    return found


def drawn(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each name of the tree in a module's docstring with the one that it hangs on."""
    text = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) or ""
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        if not (match := LINE.match(line)) or not re.search(r"[├└]|^[A-Z]\w+\s{2,}|^[a-z]", line):
            continue
        depth = len(match["indent"])
        while above and above[-1][0] >= depth:
            above.pop()
        name = match["name"].rpartition(".")[2]
        yield name, above[-1][1] if above else None
        above.append((depth, name))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_the_tree_in_the_docstring_is_the_tree_in_the_code(path: Path) -> None:
    defined = classes_of(path)
    tree = dict(drawn(path))
    if not defined:
        pytest.skip("defines no error")
    assert defined.keys() <= tree.keys()
    for name, base in defined.items():
        if tree[name] is not None:
            assert tree[name] == base, name
