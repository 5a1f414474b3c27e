"""Git in one folder: objects, changes and locks."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from storage.git.errors import GitError
from storage.git.git import EMPTY_TREE, Git


@pytest.fixture
def git(tmp_path: Path) -> Git:
    subprocess.run(["git", "init", "-q", "-b", "main", tmp_path], check=True)
    git = Git(tmp_path)
    (tmp_path / "a.txt").write_text("one\n", encoding="utf-8")
    git.run("add", "a.txt")
    git.run("-c", "user.name=Ana", "-c", "user.email=a@h", "commit", "-q", "-m", "First")
    return git


def test_blobs_are_read_in_order_and_missing_ones_are_none(git: Git) -> None:
    names = ["HEAD:a.txt", None, "HEAD:b.txt", "HEAD:a.txt", "HEAD:a\nb"]
    assert git.blobs(names) == [b"one\n", None, None, b"one\n", None]
    assert git.blobs([None, ""]) == [None, None]
    assert git.blobs(["HEAD^{tree}"]) == [None]


def test_a_change_has_no_old_blob_if_it_adds_and_no_new_one_if_it_deletes(git: Git) -> None:
    (addition,) = git.changes(EMPTY_TREE, "HEAD")
    assert (addition.path, addition.mode, addition.old) == ("a.txt", "100644", None)
    (deletion,) = git.changes("HEAD", EMPTY_TREE)
    assert (deletion.old, deletion.new) == (addition.new, None)


def test_a_stale_lock_is_removed_and_the_command_runs(git: Git) -> None:
    lock = git.folder / ".git" / "refs" / "heads" / "x.lock"
    lock.touch()
    an_hour_ago = time.time() - 3600
    os.utime(lock, (an_hour_ago, an_hour_ago))
    git.write("update-ref", "refs/heads/x", "HEAD", action="move the branch")
    assert git.text("rev-parse", "x") == git.text("rev-parse", "HEAD")


def test_a_lock_outside_the_repository_is_left_alone(git: Git, tmp_path: Path) -> None:
    lock = tmp_path / "elsewhere.lock"
    lock.touch()
    with pytest.raises(GitError, match="File exists"):
        git.write("config", "--file", str(tmp_path / "elsewhere"), "a.b", "c", action="set")
    assert lock.exists()


def test_a_pipe_in_place_of_a_file_that_git_reads_is_refused(git: Git) -> None:
    os.mkfifo(git.folder / ".gitattributes")
    with pytest.raises(GitError, match="not a regular file"):
        git.run("status")


def test_a_git_folder_of_another_folder_is_refused(git: Git, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ".git").symlink_to(git.folder / ".git")
    with pytest.raises(GitError, match="repository of another folder"):
        Git(other).run("status")
    (other / ".git").unlink()
    (other / ".git").write_text(f"gitdir: {git.folder / '.git'}\n", encoding="utf-8")
    with pytest.raises(GitError, match="repository of another folder"):
        Git(other).run("status")


def test_a_work_tree_of_git_itself_is_accepted(git: Git, tmp_path: Path) -> None:
    git.run("worktree", "add", "-q", str(tmp_path / "tree"))
    assert Git(tmp_path / "tree").text("rev-parse", "HEAD") == git.text("rev-parse", "HEAD")


def test_ssh_is_told_never_to_ask(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    program = git.folder / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" > {git.folder}/arguments; exit 1\n', "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    with pytest.raises(GitError):
        git.reach("ls-remote", "ssh://h/x", action="reach the others")
    assert "BatchMode=yes" in (git.folder / "arguments").read_text("utf-8")
