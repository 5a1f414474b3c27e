"""Folders and repositories that would do harm, and what others left behind."""

import contextlib
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task
from storage.collaboration.sync import Sharing, fetch_project
from storage.errors import Refusal, WorkbenchError
from storage.git.errors import UnsafeSettings
from storage.git.git import Git

_LONG_AGO = 1_000_000_000


async def _edit(store: ProjectStore, text: str) -> None:
    (task,) = await store.children(store.project, Task)
    await store.save(task.replace(instruction=text))


def _git(folder: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "keys",
    [
        ["core.fsmonitor"],
        ["core.sshCommand"],
        ["core.hooksPath"],
        ["core.gitProxy"],
        ["core.pager"],
        ["core.worktree"],
        ["include.path"],
        ["credential.helper"],
        ["remote.origin.uploadpack"],
        ["remote.origin.receivepack"],
        ["url.x.insteadOf"],
        ["filter.x.clean", "filter.x.smudge", "filter.x.process"],
        ["diff.x.textconv", "merge.x.driver", "gpg.program", "core.editor", "alias.fetch"],
    ],
)
async def test_settings_that_come_with_a_folder_run_nothing(
    ana: ProjectStore, tmp_path: Path, keys: Sequence[str]
) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(ran))}\ncat\n", encoding="utf-8")
    program.chmod(0o755)
    included_config = tmp_path / "included"
    included_config.write_text(f"[core]\n  fsmonitor = {program}\n", encoding="utf-8")
    for key in keys:
        value = included_config if key == "include.path" else program
        Git(ana.folder).run("config", key, str(value))
    (ana.folder / ".gitattributes").write_text("* filter=x diff=x merge=x\n", encoding="utf-8")
    await _edit(ana, "Edited.")
    for call in (
        Sharing(ana).sync,
        Sharing(ana).history,
        Sharing(ana).unsaved_changes,
        lambda: Sharing(ana).undo("HEAD"),
        lambda: Sharing(ana).share("/elsewhere"),
    ):
        with pytest.raises(UnsafeSettings) as error:
            await call()
        assert keys[0].casefold() in str(error.value)
    assert not ran.exists()


async def test_hooks_that_lie_in_a_folder_do_not_run(ana: ProjectStore, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hooks = ana.folder / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        *("pre-commit", "commit-msg", "post-commit", "reference-transaction", "pre-push"),
        *("post-checkout", "post-merge", "post-index-change", "pre-auto-gc", "post-rewrite"),
    ):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {shlex.quote(str(ran))}\n", encoding="utf-8")
        (hooks / name).chmod(0o755)
    await _edit(ana, "Edited.")
    report = await Sharing(ana).sync()
    assert report.is_sent
    assert not ran.exists()


def _tree(hub: Path, entries: Sequence[tuple[str, str, str]], base: str) -> str:
    """Return a tree with further entries: mode, object and path of each."""
    listing = [line for line in _git(hub, "ls-tree", base).splitlines() if line]
    for mode, name, path in entries:
        first, _, rest = path.partition("/")
        if rest:
            empty = _git(hub, "hash-object", "-t", "tree", "-w", "--stdin")
            inner = _tree(hub, [(mode, name, rest)], empty)
            listing.append(f"040000 tree {inner}\t{first}")
        else:
            kind = "commit" if mode == "160000" else "blob"
            listing.append(f"{mode} {kind} {name}\t{first}")
    text = "".join(f"{line}\0" for line in listing)
    return _git(hub, "mktree", "-z", "--missing", stdin=text)


@pytest.mark.parametrize(
    ("mode", "paths"),
    [
        ("120000", ["link"]),
        ("120000", ["skills/1/SKILL.md"]),
        ("160000", ["module"]),
        ("100644", ["../outside"]),
        ("100644", [".git/hooks/pre-commit"]),
        ("100644", ["x/.GIT/config"]),
        ("100644", ["x/git~1/config"]),
        ("100644", ["x/.g\u200cit/config"]),
        ("100644", [".trash/1/deleted.json"]),
        ("100644", ["x/a\\b"]),
        ("100644", ["x/a\nb"]),
        ("100644", ["Project.kiln"]),
        ("100644", ["A/x", "a/y"]),
        ("100644", ["caf\u00e9", "cafe\u0301"]),
    ],
)
async def test_files_that_could_leave_the_folder_or_run_are_refused(
    ana: ProjectStore, hub: Path, tmp_path: Path, mode: str, paths: Sequence[str]
) -> None:
    content = "/etc" if mode == "120000" else "x"
    name = _git(hub, "hash-object", "-w", "--stdin", stdin=content)
    if mode == "160000":
        name = "1" * 40
    tree = _tree(hub, [(mode, name, path) for path in paths], "main")
    _git(
        hub,
        "update-ref",
        "refs/heads/main",
        _git(hub, "commit-tree", tree, "-m", "x", "-p", "main"),
    )
    await _edit(ana, "Kept.")
    previous = sorted(p for p in ana.folder.rglob("*") if ".git" not in p.parts)
    with pytest.raises(Refusal, match="Nothing was received"):
        await Sharing(ana).sync()
    assert sorted(p for p in ana.folder.rglob("*") if ".git" not in p.parts) == previous
    assert await Sharing(ana).unsaved_changes() == ""
    with pytest.raises(Refusal, match="Nothing was received"):
        await fetch_project(str(hub), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "outside").exists()


async def test_a_project_whose_own_file_others_deleted_keeps_it(
    ana: ProjectStore, hub: Path
) -> None:
    lines = [
        line for line in _git(hub, "ls-tree", "main").splitlines() if "project.kiln" not in line
    ]
    tree = _git(hub, "mktree", stdin="\n".join(lines))
    _git(
        hub,
        "update-ref",
        "refs/heads/main",
        _git(hub, "commit-tree", tree, "-m", "x", "-p", "main"),
    )
    with pytest.raises(Refusal, match="does not exist any more"):
        await Sharing(ana).sync()
    assert (ana.folder / "project.kiln").is_file()


async def test_links_and_repositories_within_a_project_stay_on_this_machine(
    ana: ProjectStore, tmp_path: Path
) -> None:
    (ana.folder / "link").symlink_to(tmp_path)
    _git(tmp_path, "init", "-q", str(ana.folder / "inner"))
    _git(ana.folder / "inner", "commit", "-q", "--allow-empty", "-m", "x")
    await _edit(ana, "Edited.")
    assert (await Sharing(ana).sync()).is_sent
    sent_paths = Git(ana.folder).lines("ls-tree", "-r", "-z", "--name-only", "HEAD")
    assert not {"link", "inner"} & set(sent_paths)
    assert (ana.folder / "link").is_symlink()
    assert await Sharing(ana).unsaved_changes() == ""


async def test_locks_that_dead_processes_left_stop_nothing(ana: ProjectStore) -> None:
    for name in (
        *("index.lock", "HEAD.lock", "refs/heads/main.lock", "packed-refs.lock"),
        "refs/remotes/origin/main.lock",
    ):
        lock = ana.folder / ".git" / name
        lock.write_bytes(b"")
        os.utime(lock, (_LONG_AGO, _LONG_AGO))
    await _edit(ana, "Edited.")
    report = await Sharing(ana).sync()
    assert (report.outgoing, report.is_sent) == ("Change the task Support", True)
    await _edit(ana, "Edited again.")
    assert (await Sharing(ana).sync()).is_sent


async def test_a_merge_that_somebody_began_with_git_is_ended(
    ana: ProjectStore, hub: Path, tmp_path: Path
) -> None:
    await fetch_project(str(hub), tmp_path / "ben")
    async with await ProjectStore.open(tmp_path / "ben") as ben:
        await _edit(ana, "Ana's.")
        await Sharing(ana).sync()
        await _edit(ben, "Ben's.")
        await Sharing(ben).unsaved_changes()
        _git(ben.folder, "commit", "-qam", "by hand")
        _git(ben.folder, "config", "pull.rebase", "false")
        with pytest.raises(subprocess.CalledProcessError):
            _git(ben.folder, "pull", "-q")
        (file,) = ben.folder.glob("tasks/*/task.kiln")
        assert "<<<<<<<" in file.read_text(encoding="utf-8")
        (question,) = (await Sharing(ben).sync()).conflicts
        assert "Ana's." in question.text
        assert "Ben's." in question.text
        assert await ben.unreadable() == []
        assert _git(ben.folder, "status", "--porcelain") == ""


async def test_a_rebase_that_somebody_began_is_left_to_them(ana: ProjectStore) -> None:
    (ana.folder / ".git" / "rebase-merge").mkdir()
    with pytest.raises(Refusal, match="in the middle of a rebase"):
        await Sharing(ana).sync()


async def test_questions_that_name_files_elsewhere_are_none(ana: ProjectStore) -> None:
    folder = ana.folder / "questions"
    folder.mkdir()
    for number, path in enumerate(["../x.kiln", "/etc/passwd", ".git/config", ""]):
        text = (
            f'{{"id": "a{number}", "path": "{path}", "field": ["x"], '
            '"before": {"value": 1}, "choices": [{"value": 1}, {"value": 2}]}'
        )
        (folder / f"a{number}.json").write_text(text, encoding="utf-8")
    (folder / "b.json").write_text("no JSON", encoding="utf-8")
    assert await Sharing(ana).conflicts() == []


@pytest.mark.parametrize("depth", [700, 100_000])
async def test_a_file_whose_values_lie_too_deep_in_one_another_stops_no_sync(
    ana: ProjectStore, tmp_path: Path, hub: Path, depth: int
) -> None:
    (task,) = await ana.children(ana.project, Task)
    folder = (ana.folder / task.saved.path).parent / "runs" / "888888888888"
    folder.mkdir()
    file = folder / "task_run.kiln"
    file.write_text('{"a":' * depth + "1" + "}" * depth, encoding="utf-8")
    assert (await Sharing(ana).sync()).is_sent
    file.write_text('{"a":' * depth + "2" + "}" * depth, encoding="utf-8")
    await _edit(ana, "Edited.")
    assert (await Sharing(ana).sync()).is_sent
    assert len((await Sharing(ana).history(file.relative_to(ana.folder).as_posix())).entries) == 2
    await fetch_project(str(hub), tmp_path / "ben")
    async with await ProjectStore.open(tmp_path / "ben", home=tmp_path / "h2") as ben:
        (fault,) = await ben.unreadable()
        assert fault.path.endswith("888888888888/task_run.kiln")
        for store, value in ((ana, "3"), (ben, "4")):
            copy = store.folder / file.relative_to(ana.folder)
            copy.write_text('{"a":' * depth + value + "}" * depth, encoding="utf-8")
            assert (await Sharing(store).sync()).is_sent


@pytest.mark.parametrize("path", [".git/hooks/evil", "sub/.git/evil", "linked/evil", "sub/evil"])
async def test_files_around_a_project_are_not_written_into_gits_folder(
    hub: Path, tmp_path: Path, path: str
) -> None:
    """A project within a larger repository, whose other files come along with a sync."""
    top = tmp_path / "top"
    _git(tmp_path, "clone", "-q", str(hub), str(top))
    async with await ProjectStore.create(
        top / "p", Project(name="P"), home=tmp_path / "h"
    ) as store:
        await store.save(Task(name="T", instruction="I"), parent=store.project)
        _git(top, "checkout", "-q", "-b", "main")
        await Sharing(store).share(str(hub))
        await Sharing(store).sync()
        (top / "linked").symlink_to(top / ".git")
        name = _git(hub, "hash-object", "-w", "--stdin", stdin="evil")
        tree = _tree(hub, [("100644", name, path)], "main")
        commit = _git(hub, "commit-tree", tree, "-m", "x", "-p", "main")
        _git(hub, "update-ref", "refs/heads/main", commit)
        with contextlib.suppress(WorkbenchError):
            await Sharing(store).sync()
    evil = {str(file.relative_to(top)) for file in top.rglob("evil")}
    assert evil == ({"sub/evil"} if path == "sub/evil" else set())
