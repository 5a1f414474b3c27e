"""What git's output tells: unreachable, rejected, locked."""

from pathlib import Path

import pytest

from storage.git.errors import FETCH_PROJECT, GitError, without_secrets


@pytest.mark.parametrize(
    "output",
    [
        "fatal: unable to access 'https://h/x.git/': Could not resolve host: h",
        "ssh: connect to host h port 22: Connection refused",
        "fatal: Authentication failed for 'https://h/x.git/'",
        "fatal: could not read Username for 'https://h': terminal prompts disabled",
        "Host key verification failed.\nfatal: Could not read from remote repository.",
    ],
)
def test_a_remote_that_cannot_be_reached_or_denies_access_is_unreachable(output: str) -> None:
    assert GitError("send", output).is_unreachable


@pytest.mark.parametrize(
    "output",
    [
        " ! [rejected]  main -> main (fetch first)\nerror: failed to push to 'https://h/x.git'",
        "fatal: /p/.git/objects: Permission denied",
        "fatal: Unable to create '/p/.git/index.lock': File exists.",
        "error: could not lock config file .git/config: Read-only file system",
        "fatal: bad revision 'x'",
    ],
)
def test_a_rejection_a_lock_or_a_local_fault_is_not_unreachable(output: str) -> None:
    assert not GitError("send", output).is_unreachable


def test_a_rejected_push_and_a_lock_file_are_read_from_the_output() -> None:
    assert GitError("send", " ! [rejected] main -> main (non-fast-forward)").is_rejected
    output = "fatal: Unable to create '/p/.git/index.lock': File exists."
    assert GitError("send", output).lock_file == Path("/p/.git/index.lock")
    assert GitError("send", "fatal: bad object").lock_file is None


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "no reason given. Everything you did is saved"),
        ("remote: note\nfatal: bad object", "could not send: bad object."),
        ("something else", "could not send: something else."),
        ("error: cannot mkdir x", "the folder cannot be written (cannot mkdir x)"),
        ("error: one\nremote: access denied", "denied access (remote: access denied)"),
        ("Host key verification failed.", "accept its key"),
    ],
)
def test_the_sentence_holds_the_cause_and_the_next_step(output: str, reason: str) -> None:
    assert reason in str(GitError("send", output))


def test_a_fetch_that_failed_added_no_project() -> None:
    assert str(GitError(FETCH_PROJECT, "fatal: x")).endswith("No project was added.")


def test_user_names_passwords_and_tokens_are_masked() -> None:
    text = "https://me:secret@h/x.git?token=abc&key=def ssh://git@h/y"
    assert without_secrets(text) == "https://…@h/x.git?token=…&key=… ssh://…@h/y"
