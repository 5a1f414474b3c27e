"""A daemon imports what its first job needs while nobody asks it anything."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from kiln_mcp.doors.guard import Activity
from kiln_mcp.doors.preload import MODULES, Preload


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "rarely_used.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "rarely_used", raising=False)
    return "rarely_used"


async def test_a_module_is_imported_while_nobody_asks(module: str) -> None:
    await Preload([module], quiet_s=0.0).advance(Activity())
    assert module in sys.modules


async def test_no_module_is_imported_while_a_request_is_open(module: str) -> None:
    activity, preload = Activity(), Preload([module], quiet_s=0.0)
    with activity.request():
        await preload.advance(activity)
        assert module not in sys.modules
    await preload.advance(activity)
    assert module in sys.modules


def test_every_module_that_is_imported_ahead_is_there() -> None:
    assert [name for name in MODULES if find_spec(name) is None] == []


async def test_a_module_that_is_missing_does_not_end_the_daemon() -> None:
    await Preload(["no_such_module"], quiet_s=0.0).advance(Activity())
