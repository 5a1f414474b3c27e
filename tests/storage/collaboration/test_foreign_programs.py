"""Programs that settings, filters and nested repositories name do not run in a sync."""

import shlex
import subprocess
from pathlib import Path

import anyio
import pytest

from storage import ProjectStore, Task
from storage.collaboration.sync import Sharing
from storage.git.authors import last_author
from storage.git.git import Git


async def test_a_repository_within_a_project_runs_nothing(
    ana: ProjectStore, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(ran))}\n", encoding="utf-8")
    program.chmod(0o755)
    inner = ana.folder / "inner"

    def git(*arguments: str) -> None:
        signature = ("-c", "user.name=x", "-c", "user.email=x@y")
        subprocess.run(["git", *signature, "-C", ana.folder, *arguments], check=True)

    git("init", "-q", "inner")
    (inner / "file").write_text("x", encoding="utf-8")
    for line in (("add", "file"), ("commit", "-q", "-m", "x")):
        git("-C", "inner", *line)
    git("add", "inner")
    git("commit", "-q", "-m", "with a repository within")
    (inner / "file").write_text("changed", encoding="utf-8")
    git("-C", "inner", "config", "core.fsmonitor", str(program))
    git("config", "push.recurseSubmodules", "on-demand")
    git("config", "status.submoduleSummary", "true")
    hook = inner / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_bytes(program.read_bytes())
    hook.chmod(0o755)
    (task,) = await ana.children(ana.project, Task)
    await ana.save(task.replace(instruction="Edited."))
    last_author(ana.folder, "project.kiln")
    await Sharing(ana).unsaved_changes()
    await Sharing(ana).sync()
    await Sharing(ana).history()
    assert not ran.exists()


async def test_no_filter_of_the_persons_own_settings_runs_for_a_foreign_gitattributes(
    ana: ProjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    program = f"touch {shlex.quote(str(ran))}; cat"
    settings = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    for key in ("filter.l=f s.clean", "filter.l=f s.smudge", "filter.lfs.clean", "diff.d.textconv"):
        await anyio.run_process(["git", "config", "--file", settings, key, program])
    await anyio.run_process(["git", "config", "--file", settings, "filter.lfs.required", "true"])
    attributes = "* filter=lfs diff=d\n*.kiln filter=lfs diff=d\n"
    (ana.folder / ".gitattributes").write_text(attributes, encoding="utf-8")
    await ana.save(Task(name="New", instruction="Do it."), parent=ana.project)
    await Sharing(ana).sync()
    assert await Sharing(ana).unsaved_changes() == ""
    await Sharing(ana).history()
    assert not ran.exists()


async def test_files_that_a_filter_wrote_are_sent_as_they_were(
    ana: ProjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What git-lfs put in place of a pointer is not sent instead of the pointer."""
    settings = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    await anyio.run_process(["git", "config", "--file", settings, "filter.lfs.clean", "cat"])
    (task,) = await ana.children(ana.project, Task)
    folder = ana.side_folder(task)
    (folder / "large.bin").write_text("pointer", encoding="utf-8")
    await Sharing(ana).sync()
    (ana.folder / ".gitattributes").write_text("*.bin filter=lfs\n", encoding="utf-8")
    (folder / "large.bin").write_text("what it stands for", encoding="utf-8")
    await ana.save(task.replace(instruction="Edited."))
    await Sharing(ana).sync()
    name = (folder / "large.bin").relative_to(ana.folder).as_posix()
    assert Git(ana.folder).blobs([f"HEAD:{name}"]) == [b"pointer"]
    assert (folder / "large.bin").read_text(encoding="utf-8") == "what it stands for"
