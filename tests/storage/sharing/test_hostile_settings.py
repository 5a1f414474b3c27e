"""Every setting that git knows: it is harmless, or a folder that brings it is refused."""

import re
import shlex
import subprocess
from pathlib import Path

import anyio
import pytest

from storage import ProjectStore, Task
from storage.git.authors import last_author
from storage.git.errors import UnsafeSettings
from storage.git.git import Git
from storage.git.safety import check_settings
from storage.sharing.sync import Sharing

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
    listed = subprocess.run(["git", "help", "--config"], capture_output=True, text=True, check=True)
    keys = [key for key in listed.stdout.split() if "." in key and "'" not in key]
    assert len(keys) > 500
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    config = tmp_path / ".git" / "config"
    plain = config.read_text(encoding="utf-8")
    parts = [re.sub(r"<[^>]*>|\*", "x", key).partition(".") for key in keys]
    wanted: list[str] = []
    lines: list[str] = []
    for section, _, rest in parts:
        inner, _, name = rest.rpartition(".")
        known = f"{section}.{rest}"
        if (
            not known.startswith(("advice.", "color.", "core.worktree"))
            and PROGRAMS.search(known)
            and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name)
        ):
            lines.append(f'[{section} "{inner}"]\n' if inner else f"[{section}]\n")
            lines.append(f"  {name} = true\n")
            wanted.append(f"{section}.{rest}".casefold())
    config.write_text(plain + "".join(lines), encoding="utf-8")
    with pytest.raises(UnsafeSettings) as error:
        check_settings(Git(tmp_path))
    named = {key.casefold() for key in error.value.keys}
    assert {key for key in wanted if key not in named} - REVIEWED == set()


@pytest.mark.parametrize("key", HOSTILE)
def test_a_folder_that_brings_a_hostile_setting_is_refused(tmp_path: Path, key: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    value = str(tmp_path) if key == "core.worktree" else "x"
    subprocess.run(["git", "-C", tmp_path, "config", key, value], check=True)
    with pytest.raises(UnsafeSettings, match=f"(?i){re.escape(key)}"):
        check_settings(Git(tmp_path))


async def test_a_repository_within_a_project_runs_nothing(
    ana: ProjectStore, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(ran))}\n", encoding="utf-8")
    program.chmod(0o755)
    inner = ana.folder / "inner"

    def git(*arguments: str) -> None:
        named = ("-c", "user.name=x", "-c", "user.email=x@y")
        subprocess.run(["git", *named, "-C", ana.folder, *arguments], check=True)

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
    await Sharing(ana).unsaved()
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
    assert await Sharing(ana).unsaved() == ""
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
