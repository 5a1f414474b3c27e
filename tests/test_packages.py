"""The packages are ours: side by side, and not hidden by others of the same name."""

import subprocess
import sys
from pathlib import Path

import agent
import kiln_mcp
import storage


def _folder(module: object) -> Path:
    file = getattr(module, "__file__", None)
    assert isinstance(file, str)
    return Path(file).resolve().parent.parent


def test_the_three_packages_lie_side_by_side() -> None:
    assert _folder(agent) == _folder(kiln_mcp) == _folder(storage)


def test_the_bridge_imports_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import kiln_mcp.doors.bridge; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'kiln_mcp'}))"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


def test_the_doors_start_without_what_is_heavy() -> None:
    program = (
        "import sys, kiln_mcp.doors.cli, kiln_mcp.doors.server; "
        "heavy = {'litellm', 'torch', 'scipy', 'dbos', 'xllamacpp', 'git'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"
