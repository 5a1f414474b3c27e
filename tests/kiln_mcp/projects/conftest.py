"""A home with one project, "P", that has one task, "Answer"."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.settings import Settings
from kiln_mcp.workspace import Workspace, open_workspace


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    tools = installed_catalogue()
    async with open_workspace(settings) as opened:
        folder = str(tmp_path / "p")
        await tools.perform(opened, "create_project", {"name": "P", "folder": folder})
        task = {"project": "P", "name": "Answer", "instruction": "Do it."}
        await tools.perform(opened, "create_task", task)
        yield opened
