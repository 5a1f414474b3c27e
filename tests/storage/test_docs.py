"""What docs/store.md shows works."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

_PAGE = Path(__file__).parents[2] / "docs" / "store.md"


async def test_the_example_of_the_store_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILN_MCP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (code,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(_PAGE), "exec"), names)
    example = cast("Callable[[Path], Awaitable[None]]", names["example"])
    await example(tmp_path / "project")
