"""Line ends: what git on Windows would change is one line of one file all the same."""

import subprocess
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskOutputRating, TaskRun
from storage.collaboration.sync import Sharing
from storage.git.attributes import FILE


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True
    ).stdout.decode("utf-8")


async def rate_a_run(folder: Path, home: Path) -> None:
    async with await ProjectStore.open(folder, home=home) as store:
        (task,) = await store.children(store.project, Task)
        (run,) = await store.children(task, TaskRun)
        rating = TaskOutputRating(value=4, type="five_star")
        await store.save(run.replace(output=run.output.replace(rating=rating)))
        await Sharing(store).sync()


async def make_project(folder: Path, home: Path, hub: Path) -> None:
    git(hub.parent, "init", "-q", "--bare", "-b", "main", str(hub))
    async with await ProjectStore.create(folder, Project(name="Shared"), home=home) as store:
        task = await store.save(
            Task(name="Support", instruction="Help.\nA lot."), parent=store.project
        )
        await store.save(TaskRun(input="hi", output=TaskOutput(output="hello")), parent=task)
        await Sharing(store).share(str(hub))
        await Sharing(store).sync()


@pytest.mark.parametrize("has_rules", [True, False])
async def test_a_rating_in_a_clone_with_line_ends_of_windows_changes_one_file_by_its_lines(
    tmp_path: Path, has_rules: bool
) -> None:
    folder, hub, clone = (tmp_path / name for name in ("ana", "hub.git", "ben"))
    await make_project(folder, tmp_path / "h1", hub)
    if not has_rules:
        git(folder, "rm", "-q", FILE)
        git(folder, "-c", "user.name=a", "-c", "user.email=a@a", "commit", "-qm", "no rules")
        git(folder, "push", "-q", "origin", "main")
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(hub), str(clone))
    project_file = (clone / "project.kiln").read_bytes()
    assert (b"\r\n" in project_file) is not has_rules
    await rate_a_run(clone, tmp_path / "h2")
    changes = git(hub, "show", "--format=", "--numstat", "main").splitlines()
    assert len(changes) == 1
    added, removed, path = changes[0].split("\t")
    assert path.endswith("task_run.kiln")
    assert int(added) < 15
    assert int(removed) <= 1
    assert "\r" not in git(hub, "cat-file", "-p", f"main:{path}")


async def test_rules_of_a_persons_own_stay(tmp_path: Path) -> None:
    folder = tmp_path / "ana"
    folder.mkdir()
    (folder / FILE).write_text("*.kiln -text\n", "utf-8")
    await make_project(folder, tmp_path / "h1", tmp_path / "hub.git")
    assert (folder / FILE).read_text("utf-8") == "*.kiln -text\n"


@pytest.mark.parametrize("has_rules", [True, False])
async def test_a_history_with_line_ends_of_windows_keeps_them_and_a_rating_changes_its_lines(
    tmp_path: Path, has_rules: bool
) -> None:
    folder, hub, clone = (tmp_path / name for name in ("ana", "hub.git", "ben"))
    await make_project(folder, tmp_path / "h1", hub)
    if not has_rules:
        git(folder, "rm", "-q", FILE)
    for file in list(folder.rglob("*.kiln")):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        path = file.relative_to(folder).as_posix()
        name = git(folder, "hash-object", "-w", "--no-filters", str(file)).strip()
        git(folder, "update-index", "--cacheinfo", f"100644,{name},{path}")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@a", "commit", "-qm", "Windows")
    git(folder, "push", "-q", "origin", "main")
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=false", str(hub), str(clone))
    await rate_a_run(clone, tmp_path / "h2")
    (subject, _, numbers) = git(hub, "show", "--format=%s", "--numstat", "main").splitlines()
    assert subject == "Rate 1 run"
    added, removed, path = numbers.split("\t")
    assert (int(added) < 15, int(removed) <= 1) == (True, True)
    assert "\n" not in (clone / path).read_bytes().decode().replace("\r\n", "")
    assert has_rules or git(clone, "status", "--short") == ""
