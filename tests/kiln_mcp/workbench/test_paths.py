"""The paths that people and assistants give: what becomes of ".." and of links."""

from dataclasses import replace
from pathlib import Path

import pytest

from kiln_mcp.llm import Engine
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.known_projects import KnownProjects
from kiln_mcp.workbench.workspace import Workspace


@pytest.mark.parametrize("path", ["../beside", "./x/../../beside", "../start/../beside"])
async def test_a_path_may_go_through_the_parent_folder(tmp_path: Path, path: str) -> None:
    home = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    settings = replace(home, started_in=tmp_path / "start")
    async with Engine(settings.engine) as engine:
        workspace = Workspace(settings, engine, KnownProjects(settings.home / "projects.json"))
        assert workspace.place(path) == tmp_path / "beside"


def test_a_home_may_go_through_the_parent_folder(tmp_path: Path) -> None:
    settings = Settings.from_environment({"KILN_MCP_HOME": f"{tmp_path}/start/../home"})
    assert settings.home == tmp_path / "home"
    assert settings.engine.response_cache == tmp_path / "home" / "responses.sqlite"


def test_a_link_on_the_way_to_the_home_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    settings = Settings.from_environment({"KILN_MCP_HOME": f"{tmp_path}/link/home"})
    assert settings.home == tmp_path / "link" / "home"
