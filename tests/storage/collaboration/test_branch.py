"""Repositories that are away, locked, or ask who we are."""

import logging
import os
import subprocess
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task
from storage.collaboration.sync import Sharing, fetch_project
from storage.errors import Refusal
from storage.git.errors import GitError
from storage.git.git import Git
from storage.records.record import login_name

_TOKEN = "ghp_0123456789abcdef"


class _Closed(BaseHTTPRequestHandler):
    """Lets nobody in."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def closed() -> Generator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Closed)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}/team/project.git"
    server.shutdown()
    server.server_close()
    thread.join()


def _everything_in(folder: Path) -> str:
    """Return the text of a project's files and of its whole history."""
    files = [p for p in folder.rglob("*") if p.is_file() and ".git" not in p.parts]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return text + Git(folder).text("log", "-p", "--format=fuller")


async def _edit(store: ProjectStore, text: str) -> None:
    (task,) = await store.children(store.project, Task)
    await store.save(task.replace(instruction=text))


async def test_a_repository_that_asks_for_a_password_is_answered_with_one_sentence(
    ana: ProjectStore, closed: str
) -> None:
    await Sharing(ana).share(f"http://{closed}")
    await _edit(ana, "Later.")
    report = await Sharing(ana).sync()
    assert report.outgoing == "Change the task Support"
    assert not report.is_sent
    assert "denied access" in report.offline_reason
    assert "Sign in once with git itself" in report.offline_reason
    assert "Everything you did is saved" in report.offline_reason


async def test_a_token_that_git_was_given_reaches_no_answer_log_file_or_change(
    ana: ProjectStore, closed: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for address in (f"http://ana:{_TOKEN}@{closed}", f"http://ana:{_TOKEN}@127.0.0.1:1/x.git"):
        Git(ana.folder).run("remote", "set-url", "origin", address)
        caplog.clear()
        await _edit(ana, f"Later, {len(address)}.")
        report = await Sharing(ana).sync()
        assert report.offline_reason
        assert _TOKEN not in repr(report)
        assert _TOKEN not in caplog.text
        assert _TOKEN not in _everything_in(ana.folder)


async def test_ssh_is_told_never_to_ask(
    ana: ProjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh"
    notice = tmp_path / "told"
    program.write_text(
        f'#!/bin/sh\necho "$@" > "{notice}"\n'
        'echo "git@h: Permission denied (publickey)." >&2\nexit 255\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{program} -i key")
    await Sharing(ana).share("git@example.org:team/project.git")
    report = await Sharing(ana).sync()
    assert "denied access (git@h: Permission denied (publickey))" in report.offline_reason
    assert "-i key -oBatchMode=yes" in notice.read_text(encoding="utf-8")


async def test_away_from_the_others_changes_are_counted_and_sent_later(
    ana: ProjectStore, hub: Path
) -> None:
    moved_hub = hub.with_name("away.git")
    hub.rename(moved_hub)  # noqa: ASYNC240 - one rename in a test
    for number in range(3):
        await _edit(ana, f"Edit {number}.")
        report = await Sharing(ana).sync()
        assert (report.is_sent, report.unsent_count) == (False, number + 1)
    moved_hub.rename(hub)
    report = await Sharing(ana).sync()
    assert (report.is_sent, report.unsent_count, report.offline_reason) == (True, 0, "")


async def test_who_has_told_git_no_name_signs_with_the_computers_and_is_told(
    ana: ProjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "gitconfig"
    empty.write_text("", encoding="utf-8")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(empty))
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    await _edit(ana, "Unsigned.")
    report = await Sharing(ana).sync()
    assert report.is_sent
    assert f"signed with your login name {login_name()}" in report.signature_note
    author = Git(ana.folder).text("log", "-1", "--format=%an <%ae>")
    assert author == f"{login_name()} <{login_name()}@localhost>"
    empty.write_text("[user]\nname = Ana\nemail = ana@example.org\n", encoding="utf-8")
    await _edit(ana, "Signed.")
    assert (await Sharing(ana).sync()).signature_note == ""
    assert Git(ana.folder).text("log", "-1", "--format=%an") == "Ana"


async def test_two_projects_never_mix_in_one_repository(
    ana: ProjectStore, hub: Path, tmp_path: Path
) -> None:
    async with await ProjectStore.create(tmp_path / "other", Project(name="Other")) as other:
        await Sharing(other).share(str(hub))
        with pytest.raises(Refusal, match="another project, 'Shared'"):
            await Sharing(other).sync()
        assert await other.children(other.project, Task) == []
    assert (await Sharing(ana).sync()).incoming == ""


async def test_a_folder_gets_all_of_a_project_or_nothing(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"holds no project\.kiln"):
        await fetch_project(str(hub), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".new")]  # noqa: PTH208 - sync on purpose


def _bare(folder: Path, branch: str) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", "-b", branch, folder], check=True)
    return folder


@pytest.mark.parametrize("branch", ["master", "trunk"])
async def test_a_repository_whose_default_branch_nobody_made_is_fetched(
    tmp_path: Path, branch: str
) -> None:
    hub = _bare(tmp_path / "hub.git", branch)
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        await Sharing(store).share(str(hub))
        assert (await Sharing(store).sync()).is_sent
    await fetch_project(str(hub), tmp_path / "new")
    async with await ProjectStore.open(tmp_path / "new") as store:
        assert store.project.name == "P"
        await store.save(Task(name="T", instruction="I"), parent=store.project)
        assert (await Sharing(store).sync()).is_sent
    with pytest.raises(Refusal, match=r"holds no project\.kiln at its top"):
        await fetch_project(str(_bare(tmp_path / "empty.git", branch)), tmp_path / "other")


async def test_only_what_is_part_of_the_project_is_sent(ana: ProjectStore, hub: Path) -> None:
    (task,) = await ana.children(ana.project, Task)
    (ana.folder / "README.md").write_text("Read me.", encoding="utf-8")
    (ana.side_folder(task) / "notes.txt").write_text("Beside a record.", encoding="utf-8")
    (ana.side_folder(task) / ".env").write_text("KEY=sk-1", encoding="utf-8")
    (ana.folder / ".env").write_text("KEY=sk-1", encoding="utf-8")
    copy = ana.folder / "backup" / "x" / "task.kiln"
    copy.parent.mkdir(parents=True)
    copy.write_text("{}", encoding="utf-8")
    (ana.folder / "scratch").mkdir()
    (ana.folder / "scratch" / "a.txt").write_text("Mine.", encoding="utf-8")
    report = await Sharing(ana).sync()
    own = task.saved.path.rpartition("/")[0]
    assert set(report.untracked_files) == {
        ".env",
        "scratch/a.txt",
        f"{own}/.env",
        "backup/x/task.kiln",
    }
    assert report.outgoing == "Change the task Support, update README.md"
    shared_paths = set(Git(hub).lines("ls-tree", "-r", "-z", "--name-only", "main"))
    assert {"README.md", f"{own}/notes.txt"} <= shared_paths
    assert not shared_paths & set(report.untracked_files)
    secret = Git(ana.folder).text("hash-object", ".env")
    assert Git(ana.folder).try_text("cat-file", "-e", secret) is None
    assert await Sharing(ana).unsaved_changes() == ""


@pytest.mark.parametrize("address", ["ext::sh -c touch% x", "--upload-pack=x", "fd::3"])
async def test_an_address_that_is_a_program_or_an_option_is_refused(
    ana: ProjectStore, address: str
) -> None:
    with pytest.raises(Refusal, match="no address"):
        await Sharing(ana).share(address)


async def test_a_new_address_gets_everything_though_the_old_one_had_it(
    ana: ProjectStore, tmp_path: Path
) -> None:
    second = _bare(tmp_path / "second.git", "main")
    await Sharing(ana).share(str(second))
    assert (await Sharing(ana).sync()).is_sent
    shared_paths = Git(second).lines("ls-tree", "-r", "-z", "--name-only", "main")
    assert "project.kiln" in shared_paths


async def test_who_is_on_another_branch_than_the_others_is_told(ana: ProjectStore) -> None:
    assert (await Sharing(ana).sync()).notice == ""
    Git(ana.folder).run("checkout", "-q", "-b", "mine")
    await _edit(ana, "Mine.")
    report = await Sharing(ana).sync()
    assert report.is_sent
    assert "on the branch 'mine', and the others work on 'main'" in report.notice


async def test_who_brings_in_nothing_is_not_told_that_work_is_saved(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"could not fetch the project: .*No project was added"):
        await fetch_project(str(tmp_path / "nothing.git"), tmp_path / "new")


@pytest.mark.parametrize("name", ["master", "trunk", "main"])
async def test_an_empty_repository_gets_the_branch_that_a_plain_clone_looks_for(
    tmp_path: Path, name: str
) -> None:
    hub, clone = tmp_path / "other.git", tmp_path / "clone"
    subprocess.run(["git", "init", "-q", "--bare", "-b", name, hub], check=True)  # noqa: ASYNC221
    async with await ProjectStore.create(tmp_path / "p", Project(name="P"), home=tmp_path) as store:
        await Sharing(store).share(str(hub))
        report = await Sharing(store).sync()
        assert (report.is_sent, report.unsent_count, report.notice) == (True, 0, "")
        assert (await Sharing(store).sync()).is_sent
        assert Git(store.folder).text("status", "--porcelain") == ""
    subprocess.run(["git", "clone", "-q", hub, clone], check=True)  # noqa: ASYNC221
    assert (clone / "project.kiln").is_file()
    assert Git(clone).text("branch", "--show-current") == name


async def test_a_branch_that_a_person_named_keeps_its_name(tmp_path: Path) -> None:
    hub = tmp_path / "other.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "master", hub], check=True)  # noqa: ASYNC221
    async with await ProjectStore.create(tmp_path / "p", Project(name="P"), home=tmp_path) as store:
        subprocess.run(["git", "init", "-q", "-b", "mine", store.folder], check=True)  # noqa: ASYNC221
        await Sharing(store).share(str(hub))
        assert (await Sharing(store).sync()).is_sent
        assert Git(store.folder).text("branch", "--show-current") == "mine"
