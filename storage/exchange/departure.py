"""Pack a project into one archive that opens in every program that knows the format."""

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from uuid import uuid4

from storage.border import check_target
from storage.exchange.contents import travels
from storage.exchange.errors import NotAZipName, TargetInside, TargetTaken
from storage.files import disk_errors, flush_folder
from storage.git.git import Git, GitError
from storage.git.safety import unshared_files
from storage.records.names import acceptable_name, stored_name
from storage.store import ProjectStore

_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = (stat.S_IFREG | 0o644) << 16


@dataclass(frozen=True, slots=True)
class PackedProject:
    """An archive of a project.

    Attributes:
        file: The archive.
        files: How many files are in it.
        size: Its size in bytes.
        left_out: What lies in the project's folder and is not in it, each with the reason.
    """

    file: Path
    files: int
    size: int
    left_out: tuple[str, ...]


async def export_project(store: ProjectStore, file: Path) -> PackedProject:
    """Pack a project into a new zip archive, without its history, trash, and what is no part of it.

    The same project gives the same bytes: files are in the order of their paths, in a folder
    named like the project, and carry no times. Nobody writes to the project meanwhile.

    Raises:
        NotAZipName: The file's name ends in something else.
        TargetTaken: The file is there already.
        TargetInside: It would lie within the project.
        UnsafePath: It would lie in git's own folder.
        WriteFailed: The disk refused.
    """
    top = stored_name(acceptable_name(store.project.name)) or "project"
    return await store.alone(lambda _: _pack(store.folder, top, file))


def _pack(folder: Path, top: str, file: Path) -> PackedProject:
    if file.suffix.lower() not in {"", ".zip"}:
        raise NotAZipName(file)
    if file.exists() or file.is_symlink():
        raise TargetTaken(file)
    if file.resolve().is_relative_to(folder):
        raise TargetInside(file)
    check_target(file)
    found, left_out = _files(folder)
    fresh = file.with_name(f".{file.name}.{uuid4().hex[:8]}.new")
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with fresh.open("xb") as out:
                _write(folder, top, found, out)
                out.flush()
                os.fsync(out.fileno())
            size = fresh.stat().st_size
            fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)
        flush_folder(file.parent)
    return PackedProject(file, len(found), size, tuple(left_out))


def _files(folder: Path) -> tuple[list[PurePosixPath], list[str]]:
    """Return what goes into the archive, in order, and what is left out with the reason."""
    ignored = _ignored(folder)
    found: list[PurePosixPath] = []
    left_out = [f"{path}: ignored by git" for path in sorted(ignored)]
    for place, inner, names in os.walk(folder):
        here = PurePosixPath(Path(place).relative_to(folder).as_posix())
        links = [one for one in inner if Path(place, one).is_symlink()]
        inner[:] = [one for one in inner if travels(here / one) and f"{here / one}/" not in ignored]
        for path in (here / name for name in [*names, *links]):
            if not travels(path) or str(path) in ignored:
                continue
            if stat.S_ISREG((folder / path).lstat().st_mode):
                found.append(path)
            else:
                left_out.append(f"{path}: a link or device")
    strangers = set(unshared_files([str(path) for path in found]))
    left_out += [f"{path}: no part of the project" for path in sorted(strangers)]
    return sorted((path for path in found if str(path) not in strangers), key=str), left_out


def _ignored(folder: Path) -> set[str]:
    """Return what the project's own .gitignore files name; folders end with a slash."""
    if not any(folder.rglob(".gitignore")):
        return set()
    with tempfile.TemporaryDirectory(prefix="kiln-mcp-") as apart:
        git = Git(folder)
        try:
            git.run("init", "-q", "--bare", apart)
            held = ("--git-dir", apart, "--work-tree", str(folder), "-c", "core.excludesFile=")
            listed = git.lines(
                *held, "ls-files", "-o", "-i", "--exclude-standard", "--directory", "-z"
            )
        except GitError:
            return set()
    return {path for path in listed if travels(PurePosixPath(path))}


def _write(folder: Path, top: str, files: Sequence[PurePosixPath], out: IO[bytes]) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            info = zipfile.ZipInfo(str(PurePosixPath(top, path)), _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = _MODE
            info.file_size = (folder / path).stat().st_size
            with (folder / path).open("rb") as source, archive.open(info, "w") as target:
                shutil.copyfileobj(source, target)
