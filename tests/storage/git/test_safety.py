"""Every setting that git knows is harmless or refused; shared names and addresses are checked."""

import re
import subprocess
from pathlib import Path

import pytest

from storage.errors import Refusal
from storage.git.errors import UnsafeSettings
from storage.git.git import Git
from storage.git.safety import (
    check_address,
    check_content,
    check_settings,
    fault_of,
    unshared_files,
)

PROGRAMS = re.compile(
    r"command|cmd|program|helper|hook|proxy|editor|pager|driver|textconv|clean|smudge|process"
    r"|askpass|uploadpack|receivepack|tool|insteadof|include|worktree$|excludesfile|attributesfile"
    r"|alternate|templatedir|template$|external|viewer|browser|path$|gpgsign|recursesubmodules|pushurl"
    r"|sslverify|sslca|sslcert|cookiefile|extraheader|gitproxy|vcs$|update$|alias\."
    r"|^(protocol|credential\.helper|filter|difftool|mergetool|man|web|sendemail|uploadarchive)\.",
    re.IGNORECASE,
)
REVIEWED = {
    # Every command of ours sets these itself.
    *("push.recursesubmodules", "push.gpgsign", "commit.gpgsign", "tag.gpgsign"),
    # These only sound like programs.
    *("commit.cleanup", "core.quotepath", "credential.usehttppath", "push.useforceifincludes"),
    *("rebase.abbreviatecommands", "rerere.autoupdate"),
}
HOSTILE = [
    *("core.fsmonitor", "core.sshCommand", "core.hooksPath", "core.gitProxy", "core.pager"),
    *("core.editor", "core.askPass", "core.worktree", "core.attributesFile", "core.excludesFile"),
    *("core.alternateRefsCommand", "core.alternateRefsPrefixes", "include.path"),
    *("includeIf.gitdir:/.path", "credential.helper", "credential.https://x.helper"),
    *("filter.x.clean", "filter.x.smudge", "filter.x.process", "filter.lfs.process"),
    *("diff.external", "diff.x.command", "diff.x.textconv", "merge.x.driver", "mergetool.x.cmd"),
    *("difftool.x.cmd", "man.x.cmd", "browser.x.cmd", "guitool.x.cmd", "alias.status"),
    *("gpg.program", "gpg.ssh.program", "gpg.x509.program", "gpg.ssh.defaultKeyCommand"),
    *("ssh.variant", "http.proxy", "http.sslCert", "http.cookieFile", "http.extraHeader"),
    *("http.https://x.proxy", "http.sslVerify", "remote.origin.uploadpack", "remote.origin.vcs"),
    *("remote.origin.receivepack", "remote.origin.proxy", "remote.origin.mirror"),
    *("remote.origin.pushurl", "url.x.insteadOf", "url.x.pushInsteadOf", "protocol.allow"),
    *("protocol.ext.allow", "submodule.x.update", "submodule.recurse", "submodule.x.url"),
    *("uploadpack.packObjectsHook", "receive.procReceiveRefs", "sequence.editor"),
    *("trailer.x.cmd", "trailer.x.command", "sendemail.smtpServer", "sendemail.toCmd"),
    *("init.templateDir", "commit.template", "mailmap.file", "lfs.url"),
    *("lfs.customtransfer.x.path", "interactive.diffFilter", "pager.log", "tar.x.command"),
    *("safe.directory", "fsck.skipList"),
]


def test_no_setting_that_git_knows_runs_a_program_unseen(tmp_path: Path) -> None:
    listing = subprocess.run(
        ["git", "help", "--config"], capture_output=True, text=True, check=True
    )
    keys = [key for key in listing.stdout.split() if "." in key and "'" not in key]
    assert len(keys) > 500
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    config = tmp_path / ".git" / "config"
    plain = config.read_text(encoding="utf-8")
    parts = [re.sub(r"<[^>]*>|\*", "x", key).partition(".") for key in keys]
    expected_keys: list[str] = []
    lines: list[str] = []
    for section, _, rest in parts:
        inner, _, name = rest.rpartition(".")
        setting = f"{section}.{rest}"
        if (
            not setting.startswith(("advice.", "color.", "core.worktree"))
            and PROGRAMS.search(setting)
            and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name)
        ):
            lines.append(f'[{section} "{inner}"]\n' if inner else f"[{section}]\n")
            lines.append(f"  {name} = true\n")
            expected_keys.append(f"{section}.{rest}".casefold())
    config.write_text(plain + "".join(lines), encoding="utf-8")
    with pytest.raises(UnsafeSettings) as error:
        check_settings(Git(tmp_path))
    unsafe_keys = {key.casefold() for key in error.value.keys}
    assert {key for key in expected_keys if key not in unsafe_keys} - REVIEWED == set()


@pytest.mark.parametrize("key", HOSTILE)
def test_a_folder_that_brings_a_hostile_setting_is_refused(tmp_path: Path, key: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    value = str(tmp_path) if key == "core.worktree" else "x"
    subprocess.run(["git", "-C", tmp_path, "config", key, value], check=True)
    with pytest.raises(UnsafeSettings, match=f"(?i){re.escape(key)}"):
        check_settings(Git(tmp_path))


@pytest.mark.parametrize(
    "address",
    ["--upload-pack=touch x", "ext::sh -c x", "a" * 2001],
)
def test_an_address_that_git_takes_for_an_option_or_a_program_is_refused(address: str) -> None:
    with pytest.raises(Refusal, match="is no address of a repository"):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["https://me:secret@h/x.git", "https://secret@h/x.git", "ssh://me:secret@h/x"]
)
def test_an_address_with_a_password_is_refused_and_not_quoted(address: str) -> None:
    with pytest.raises(Refusal, match="password or token") as refusal:
        check_address(address)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "address", ["https://h/x.git", "git@h:x.git", "ssh://git@h/x", "/folder/x.git", "http://[h"]
)
def test_a_plain_address_is_accepted(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    ("path", "mode", "fault"),
    [
        ("tasks/a/task.kiln", "100644", ""),
        ("a", "120000", "is a link"),
        ("a", "160000", "is a repository of its own"),
        ("a/.git/config", "100644", "could leave the project's folder"),
        ("a/.GIT/config", "100644", "could leave the project's folder"),
        ("a\\b", "100644", "could leave the project's folder"),
        (".trash/x", "100644", "belongs to one person's trash"),
        ("a\nb", "100644", "has a line break or another control character in its name"),
    ],
)
def test_a_name_that_is_not_safe_on_every_system_has_a_fault(
    path: str, mode: str, fault: str
) -> None:
    assert fault_of(path, mode) == fault


@pytest.mark.parametrize("names", [("a.txt", "A.txt"), ("e\u0301/x", "\u00e9/x")])
def test_two_names_that_some_systems_take_for_one_are_refused(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    subprocess.run(["git", "init", "-q", "-b", "main", tmp_path], check=True)
    git = Git(tmp_path)
    blob = git.text("hash-object", "-w", "--stdin")
    for name in names:
        git.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    tree = git.text("write-tree")
    with pytest.raises(Refusal, match=r"Nothing was received: .*differs in case"):
        check_content(git, "", None, tree)


def test_only_parts_of_a_project_are_shared() -> None:
    parts = [
        *("project.kiln", "README.md", ".gitignore", "license", "questions/1a.json"),
        *("tasks/1 - t/task.kiln", "tasks/1 - t/notes/a.txt", "tasks/1 - t/runs/2/task_run.kiln"),
        "tasks/1 - t/new_kind.kiln",
    ]
    foreign_files = [
        *(".env", "secrets.txt", "notes/a.txt", "tasks/loose.txt", "tasks/1 - t/.env"),
        *("copy/project.kiln", "copy/tasks/1/task.kiln", "a.kiln"),
    ]
    assert unshared_files([*parts, *foreign_files]) == foreign_files
