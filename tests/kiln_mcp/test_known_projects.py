"""The list of the projects that a person has opened."""

from pathlib import Path

import pytest

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.errors import UnknownProject
from kiln_mcp.settings import Settings
from kiln_mcp.workspace import open_workspace


@pytest.mark.parametrize("damaged", [b"{bad", b"[1]", b'{"P": 1}', b"\xff\xfe", b""])
async def test_a_damaged_list_is_named_and_kept_aside_and_projects_are_found_by_their_folder(
    tmp_path: Path, damaged: bytes
) -> None:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    tools, folder = installed_catalogue(), str(tmp_path / "p")
    async with open_workspace(settings) as workspace:
        await tools.perform(workspace, "create_project", {"name": "P", "folder": folder})
    listed = tmp_path / "home" / "projects.json"
    listed.write_bytes(damaged)
    async with open_workspace(settings) as workspace:
        with pytest.raises(UnknownProject, match=r"projects\.json, is damaged"):
            await workspace.open_project("P")
        await workspace.open_project(folder)
        assert (await workspace.open_project("P")).project.name == "P"
        (aside,) = listed.parent.glob("projects.damaged-*.json")
        assert aside.read_bytes() == damaged
        with pytest.raises(UnknownProject, match=r"was kept as .*projects\.damaged-"):
            await workspace.open_project("Other")
