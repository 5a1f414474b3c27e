"""The list of the projects that a person has opened."""

import shutil
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.errors import AmbiguousProject, UnknownProject
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.known_projects import KnownProjects
from kiln_mcp.workbench.lifecycle import open_workspace
from kiln_mcp.workbench.workspace import Workspace
from storage import Project, ProjectStore


@pytest.mark.parametrize("broken_file", [b"{bad", b"[1]", b'{"P": 1}', b"\xff\xfe", b""])
async def test_a_damaged_list_is_named_and_kept_aside_and_projects_are_found_by_their_folder(
    tmp_path: Path, broken_file: bytes
) -> None:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    tools, folder = installed_catalogue(), str(tmp_path / "p")
    async with open_workspace(settings) as workspace:
        await tools.perform(workspace, "create_project", {"name": "P", "folder": folder})
    listing = tmp_path / "home" / "projects.json"
    listing.write_bytes(broken_file)
    async with open_workspace(settings) as workspace:
        with pytest.raises(UnknownProject, match=r"projects\.json, is damaged"):
            await workspace.open_project("P")
        await workspace.open_project(folder)
        assert (await workspace.open_project("P")).project.name == "P"
        (aside,) = listing.parent.glob("projects.damaged-*.json")
        assert aside.read_bytes() == broken_file
        with pytest.raises(UnknownProject, match=r"was kept as .*projects\.damaged-"):
            await workspace.open_project("Other")


@asynccontextmanager
async def project(home: Path, started_in: Path | None = None) -> AsyncGenerator[Workspace]:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    async with open_workspace(replace(settings, started_in=started_in)) as workspace:
        yield workspace


async def created(folder: Path, name: str) -> Path:
    store = await ProjectStore.create(folder, Project(name=name))
    await store.close()
    return folder


async def test_a_project_named_like_a_path_never_stands_for_that_path(tmp_path: Path) -> None:
    support = await created(tmp_path / "support", "Mine")
    for number, name in enumerate(
        [str(support), f"  {support}", str(support).replace("/", "\uff0f"), "~/support"]
    ):
        await created(tmp_path / f"foreign{number}", name)
    async with project(tmp_path / "home") as workspace:
        for number in range(4):
            store = await workspace.open_project(str(tmp_path / f"foreign{number}"))
            assert "give its folder" in (await workspace.projects.name_problem(store) or "")
        assert (await workspace.open_project(str(support))).project.name == "Mine"
        assert await workspace.project_folder(f"{support}/project.kiln") == support
        for reference in ("~/support", str(support).replace("/", "\uff0f")):
            with pytest.raises(UnknownProject, match="No project '"):
                await workspace.open_project(reference)


async def test_a_name_of_two_projects_means_neither_until_the_person_says_which(
    tmp_path: Path,
) -> None:
    mine, foreign = await created(tmp_path / "mine", "P"), await created(tmp_path / "foreign", "p ")
    async with project(tmp_path / "home") as workspace:
        await workspace.open_project(str(mine))
        assert await workspace.project_folder("P") == mine
        description = await installed_catalogue().perform(
            workspace, "describe_project", {"project": str(foreign)}
        )
        assert f"{mine} and {foreign}" in str(description["name_problem"])
        with pytest.raises(AmbiguousProject, match=f"{mine} and {foreign}. Give the path"):
            await workspace.open_project("P")
        workspace.projects.keep_name(mine)
        assert await workspace.project_folder("P") == mine
        workspace.projects.forget(mine)
        assert await workspace.project_folder("P") == foreign


async def test_the_name_of_a_project_that_is_gone_is_free_for_another(tmp_path: Path) -> None:
    old, new = await created(tmp_path / "old", "P"), await created(tmp_path / "new", "P")
    async with project(tmp_path / "home") as workspace:
        await workspace.open_project(str(old))
        shutil.rmtree(old)
        await workspace.open_project(str(new))
        assert await workspace.project_folder("P") == new
        assert await workspace.projects.name_problem(await workspace.open_project("P")) is None


async def test_a_project_moved_away_is_not_there_any_more_by_path_and_by_name(
    tmp_path: Path,
) -> None:
    folder = await created(tmp_path / "p", "P")
    async with project(tmp_path / "home") as workspace:
        await workspace.open_project(str(folder))
        folder.rename(tmp_path / "moved")
        for reference in ("P", str(folder)):
            with pytest.raises(UnknownProject, match="'P' is not there any more"):
                await workspace.open_project(reference)
        await workspace.open_project(str(tmp_path / "moved"))
        assert await workspace.project_folder("P") == tmp_path / "moved"


async def test_a_folder_here_and_a_known_project_of_its_name_are_told_apart(
    tmp_path: Path,
) -> None:
    foreign, own_folder = await created(tmp_path / "foreign", "support"), tmp_path / "here"
    async with project(tmp_path / "home", started_in=own_folder) as workspace:
        await workspace.open_project(str(foreign))
        assert await workspace.project_folder("support") == foreign
        await created(own_folder / "support", "Mine")
        with pytest.raises(AmbiguousProject):
            await workspace.project_folder("support")
        assert await workspace.project_folder("./support") == own_folder / "support"


def test_processes_that_open_projects_at_once_lose_no_entry(tmp_path: Path) -> None:
    listing = tmp_path / "home" / "projects.json"

    def remember(number: int) -> None:  # as each process does, with a lock of its own
        folder = tmp_path / f"p{number}"
        store = anyio.run(ProjectStore.create, folder, Project(name=f"P {number}"))
        KnownProjects(listing).remember(store)
        anyio.run(store.close)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(remember, range(24)))
    assert len(KnownProjects(listing).projects()) == 24


async def test_the_name_of_a_chosen_project_that_moved_never_means_its_namesake(
    tmp_path: Path,
) -> None:
    mine, other = await created(tmp_path / "mine", "P"), await created(tmp_path / "other", "P")
    async with project(tmp_path / "home") as workspace:
        for folder in (mine, other):
            await workspace.open_project(str(folder))
        workspace.projects.keep_name(mine)
    await anyio.Path(mine).rename(tmp_path / "moved")
    async with project(tmp_path / "home") as workspace:
        with pytest.raises(UnknownProject, match=r"that the person chose.*/other, and is not"):
            await workspace.open_project("P")
        await workspace.open_project(str(tmp_path / "moved"))
        assert (await workspace.open_project("P")).folder == tmp_path / "moved"
        assert [one.folder for one in workspace.projects.projects()] == [tmp_path / "moved", other]
