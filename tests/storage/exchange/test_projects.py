"""Whole projects that come and go."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from storage import ProjectStore, Task, TaskRun
from storage.errors import RecordNotFound, Refusal
from storage.exchange import (
    ArchiveLimits,
    pack_project,
    receive_project,
)

TarForm = Literal["w:", "w:gz", "w:xz", "w:bz2"]
_PROJECT = b'{"v": 1, "id": "1", "name": "Evil", "model_type": "project"}'


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and ".trash" not in file.parts
    }


def _tar(file: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(file, "w:xz") as tar:
        for member in (("p/project.kiln", _PROJECT), *members):
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return file


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def _zip(file: Path, members: dict[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"p/project.kiln": _PROJECT, **members}.items():
            archive.writestr(name, content)
    return file


def _left(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.name.endswith((".arriving", ".new")))


async def test_an_exported_project_is_imported_again_byte_by_byte(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("first.zip", "second.zip"):
        async with await ProjectStore.open(folder) as store:
            packed = await pack_project(store, tmp_path / name)
    assert (packed.files, packed.exclusions) == (5, ())
    first, second = ((tmp_path / name).read_bytes() for name in ("first.zip", "second.zip"))
    assert first == second
    place = await receive_project(str(tmp_path / "first.zip"), tmp_path / "again")
    assert _contents(place) == _contents(folder)
    assert _left(tmp_path) == []


_STAY = ("key.secret", "local/x", ".env", "notes.md")


async def test_trash_history_and_ignored_files_do_not_travel(folder: Path, tmp_path: Path) -> None:
    async with await ProjectStore.open(folder) as store:
        task = await store.find(Task, "T", parent=store.project)
        await store.delete((await store.children(task, TaskRun))[0])
        (folder / ".gitignore").write_text("*.secret\nlocal/\n", encoding="utf-8")
        (folder / "README.md").write_text("x", encoding="utf-8")
        for path in (".git/config", "._x", ".a.12345678.new", *_STAY):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text("x", encoding="utf-8")
        (folder / "link").symlink_to("/etc/passwd")
        packed = await pack_project(store, tmp_path / "p.zip")
    assert packed.exclusions == (
        "key.secret: ignored by git",
        "local/: ignored by git",
        "link: a link or device",
        ".env: no part of the project",
        "notes.md: no part of the project",
    )
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        names = [name.split("/", 1)[1] for name in archive.namelist()]
    assert [name for name in names if not name.startswith("tasks")] == [
        ".gitattributes",
        ".gitignore",
        "README.md",
        "project.kiln",
    ]
    (folder / "link").unlink()
    place = await receive_project(str(folder), tmp_path / "copy")
    assert not (place / ".git").exists()
    assert not (place / ".trash").exists()


async def test_an_export_overwrites_nothing_and_never_lies_in_its_project(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.zip").write_bytes(b"")
    async with await ProjectStore.open(folder) as store:
        with pytest.raises(Refusal, match="exists already"):
            await pack_project(store, tmp_path / "there.zip")
        with pytest.raises(Refusal, match="lies within the project"):
            await pack_project(store, folder / "p.zip")
        with pytest.raises(Refusal, match=r"not p\.tar\.xz"):
            await pack_project(store, tmp_path / "p.tar.xz")


@pytest.mark.parametrize("form", ["w:", "w:gz", "w:xz", "w:bz2"])
async def test_a_project_deep_in_a_tar_of_any_kind_is_found(
    folder: Path, tmp_path: Path, form: TarForm
) -> None:
    file = tmp_path / "project.download"
    with tarfile.open(file, form) as tar:
        tar.add(folder, "outer/inner")
    place = await receive_project(str(file), tmp_path / "new")
    assert _contents(place) == _contents(folder)


async def test_of_several_projects_one_is_named(folder: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    await receive_project(str(folder), both / "a")
    await receive_project(str(_zip(tmp_path / "evil.zip", {})), both / "b")
    with pytest.raises(Refusal, match=r"'Café' \(a\), 'Evil' \(b\)"):
        await receive_project(str(both), tmp_path / "c")
    with pytest.raises(RecordNotFound, match="Café, Evil"):
        await receive_project(str(both), tmp_path / "c", name="x")
    by_name = await receive_project(str(both), tmp_path / "c", name="cafe\u0301")
    assert _contents(by_name) == _contents(folder)
    by_folder = await receive_project(str(both), tmp_path / "d", name="b")
    assert _contents(by_folder) == {"project.kiln": _PROJECT}


_EVIL_TARS: dict[str, tuple[tarfile.TarInfo | tuple[str, bytes], str]] = {
    "up": (("p/../../evil", b"x"), "leads out"),
    "absolute": (("/tmp/evil", b"x"), "is absolute"),
    "link": (_special("p/link", tarfile.SYMTYPE, "../../etc/passwd"), "leads out"),
    "absolute link": (_special("p/link", tarfile.SYMTYPE, "/etc/passwd"), "is absolute"),
    "hard link": (_special("p/link", tarfile.LNKTYPE, "../x"), "leads out"),
    "device": (_special("p/null", tarfile.CHRTYPE), "a device"),
    "pipe": (_special("p/pipe", tarfile.FIFOTYPE), "a device"),
    "twice": (("p/project.kiln", b"{}"), "in it twice"),
}


@pytest.mark.parametrize("name", _EVIL_TARS)
async def test_a_tar_that_reaches_out_is_refused_and_leaves_nothing(
    name: str, tmp_path: Path
) -> None:
    member, reason = _EVIL_TARS[name]
    archive = _tar(tmp_path / "evil.tar.xz", member)
    with pytest.raises(Refusal, match=reason):
        await receive_project(str(archive), tmp_path / "in" / "new")
    assert list((tmp_path / "in").iterdir()) == []
    assert not (tmp_path / "evil").exists()


async def test_a_zip_that_reaches_out_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("p/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    evil: dict[str, dict[str | zipfile.ZipInfo, bytes]] = {
        "leads out": {"..\\..\\evil": b"x"},
        "is absolute": {"C:\\evil": b"x"},
        "a link to": {link: b"../../../etc/passwd"},
    }
    for reason, members in evil.items():
        archive = _zip(tmp_path / "evil.zip", members)
        with pytest.raises(Refusal, match=reason):
            await receive_project(str(archive), tmp_path / "new")


async def test_links_within_become_copies_of_their_files(tmp_path: Path) -> None:
    archive = _tar(
        tmp_path / "p.tar",
        _special("p/first", tarfile.SYMTYPE, "second"),
        _special("p/second", tarfile.LNKTYPE, "p/real"),
        _special("p/nowhere", tarfile.SYMTYPE, "gone"),
        ("p/real", b"here"),
    )
    place = await receive_project(str(archive), tmp_path / "new")
    assert _contents(place) == dict.fromkeys(("first", "second", "real"), b"here") | {
        "project.kiln": _PROJECT
    }
    assert not any(file.is_symlink() for file in place.rglob("*"))


async def test_bombs_are_refused_by_what_they_unpack_to(tmp_path: Path) -> None:
    zeros = bytes(3 << 20)
    limits = ArchiveLimits(files=5, size=2 << 20, careless=1 << 20)
    for archive in (
        _tar(tmp_path / "a.tar", ("p/zeros", zeros)),
        _zip(tmp_path / "a.zip", {"p/zeros": zeros}),
    ):
        with pytest.raises(Refusal, match="more than 1 MB"):
            await receive_project(str(archive), tmp_path / "new", limits=limits)
    archive = _zip(tmp_path / "b.zip", {f"p/{number}": b"" for number in range(9)})
    with pytest.raises(Refusal, match="more than 5 files"):
        await receive_project(str(archive), tmp_path / "new", limits=limits)


async def test_an_archive_is_not_unpacked_onto_a_disk_without_the_space(tmp_path: Path) -> None:
    content, limits = os.urandom(3 << 20), ArchiveLimits(free=2 << 20)
    for archive in (
        _tar(tmp_path / "a.tar", ("p/random", content)),
        _zip(tmp_path / "a.zip", {"p/random": content}),
    ):
        with pytest.raises(Refusal, match="the disk has 2 MB left for it"):
            await receive_project(str(archive), tmp_path / "new", limits=limits)
    assert set(_contents(tmp_path)) == {"a.tar", "a.zip"}


def _cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 40])


@pytest.mark.parametrize("damage", [_cut, _flip])
@pytest.mark.parametrize("form", ["zip", "w:", "w:gz", "w:xz", "w:bz2"])
async def test_a_damaged_archive_is_refused_and_leaves_nothing(
    form: TarForm | Literal["zip"], damage: Callable[[bytes], bytes], folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "archive"
    (folder / "big").write_bytes(os.urandom(50_000))
    if form == "zip":
        async with await ProjectStore.open(folder) as store:
            await pack_project(store, file)
    else:
        with tarfile.open(file, form) as tar:
            tar.add(folder, "p")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(Refusal, match="Nothing was imported"):
        await receive_project(str(file), tmp_path / "in" / "new")
    assert not (tmp_path / "in" / "new").exists()
    assert _left(tmp_path / "in") == []


async def test_what_is_no_project_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "in").mkdir()
    for source, reason in {
        "text.txt": "neither a zip nor a tar",
        "empty": "neither a zip nor a tar",
        "gone": "does not exist",
        "in": r"no project\.kiln",
    }.items():
        with pytest.raises(Refusal, match=reason):
            await receive_project(str(tmp_path / source), tmp_path / "new")


async def test_a_target_with_something_in_it_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    await receive_project(str(folder), tmp_path / "empty")
    with pytest.raises(Refusal, match="exists already"):
        await receive_project(str(folder), tmp_path / "empty")
    with pytest.raises(Refusal, match="lies within the project"):
        await receive_project(str(folder), folder / "copy")
    assert not (folder / "copy").exists()


async def test_a_folder_with_a_link_out_or_a_pipe_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(Refusal, match="a link that leads out"):
        await receive_project(str(folder), tmp_path / "new")
    (folder / "link").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(Refusal, match="a device"):
        await receive_project(str(folder), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def _git(folder: Path, *arguments: str) -> None:
    person = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(folder), *person, *arguments], check=True)


async def test_a_repository_is_cloned_with_its_history_by_address_or_path(
    folder: Path, tmp_path: Path
) -> None:
    repository = await receive_project(str(folder), tmp_path / "repository")
    _git(repository, "init", "-q", "-b", "main")
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", "x")
    _git(tmp_path, "clone", "-q", "--bare", str(repository), "bare")
    for number, source in enumerate((repository.as_uri(), str(tmp_path / "bare"))):
        place = await receive_project(source, tmp_path / f"clone {number}")
        assert (place / ".git").is_dir()
        (place / ".git").rename(tmp_path / f"git {number}")
        assert _contents(place) == _contents(folder)
    copy = await receive_project(str(repository), tmp_path / "copy")
    assert not (copy / ".git").exists()


async def test_a_project_that_cannot_be_read_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "project.kiln").write_text("{", encoding="utf-8")
    with pytest.raises(Refusal, match="cannot be used, for it is no JSON"):
        await receive_project(str(tmp_path / "p"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


_IMPORT = """
import asyncio, sys
from pathlib import Path
from storage.exchange import receive_project
print("ready", flush=True)
asyncio.run(receive_project(sys.argv[1], Path(sys.argv[2])))
"""


def _moments() -> Iterator[float]:
    return (0.002 * 1.6**step for step in range(12))


@pytest.mark.slow
def test_an_import_that_is_killed_leaves_the_whole_project_or_none(
    folder: Path, tmp_path: Path
) -> None:
    for number in range(3000):
        (folder / f"note {number}").write_bytes(os.urandom(300))
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as tar:
        tar.add(folder, "p")
    seen: set[bool] = set()
    for number, moment in enumerate(_moments()):
        target = tmp_path / "in" / f"new {number}"
        command = [sys.executable, "-c", _IMPORT, str(tmp_path / "p.tar.gz"), str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            process.send_signal(signal.SIGKILL)
        seen.add(target.exists())
        if target.exists():
            assert _contents(target) == _contents(folder)
    assert False in seen


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("p/x", "/etc", "'p/x' is a link to '/etc', which is absolute"),
        ("p/x", "../../y", "'p/x' is a link to 'p/../../y', which leads out of it"),
        ("/etc/x", "", "the path '/etc/x' is absolute"),
    ],
)
async def test_a_refused_archive_says_which_link_or_path_leads_where(
    tmp_path: Path, name: str, target: str, said: str
) -> None:
    kind = tarfile.SYMTYPE if target else tarfile.REGTYPE
    archive = _tar(tmp_path / "a.tar.xz", _special(name, kind, target))
    with pytest.raises(Refusal, match=re.escape(said)):
        await receive_project(str(archive), tmp_path / "q")
