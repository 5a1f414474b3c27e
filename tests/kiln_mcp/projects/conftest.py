"""A home with one project, "P", that has one task, "Answer", and a person who agrees."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from kiln_mcp.approvals.decision import Reply
from kiln_mcp.approvals.records import Door, ProposedCall
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.home import open_workspace
from kiln_mcp.workbench.workspace import Workspace


class Agrees:
    """A person who agrees to everything."""

    door = Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        return Reply.ACCEPT


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    tools = installed_catalogue()
    async with open_workspace(settings) as opened:
        folder = str(tmp_path / "p")
        await tools.perform(opened, "create_project", {"name": "P", "folder": folder})
        task = {"project": "P", "name": "Answer", "instruction": "Do it."}
        await tools.perform(opened, "create_task", task)
        yield replace(opened, person=Agrees())
