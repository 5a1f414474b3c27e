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

from storage.atomic_write import new_file
from storage.border import check_target
from storage.errors import Refusal
from storage.exchange.contents import travels
from storage.exchange.refusals import target_exists, target_inside
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
        exclusions: What lies in the project's folder and is not in it, each with the reason.
    """

    file: Path
    files: int
    size: int
    exclusions: tuple[str, ...]


async def pack_project(store: ProjectStore, file: Path) -> PackedProject:
    """Pack a project into a new zip archive, without its history, its trash and foreign files.

    The same project gives the same bytes: files are in the order of their paths, in a folder
    named like the project, and carry no times. Nobody writes to the project meanwhile.

    Raises:
        Refusal: The file's name ends in something else.
        Refusal: The file is there already.
        Refusal: It would lie within the project.
        UnsafePath: It would lie in git's own folder.
        WriteError: The disk refused.
    """
    top = stored_name(acceptable_name(store.project.name)) or "project"
    return await store.run_exclusive(lambda _: _pack(store.folder, top, file))


def _pack(folder: Path, top: str, file: Path) -> PackedProject:
    if file.suffix.lower() not in {"", ".zip"}:
        raise Refusal(
            "A project is packed as zip: name a file that ends in .zip, not {name}.",
            name=file.name,
        )
    if file.exists() or file.is_symlink():
        raise target_exists(file)
    if file.resolve().is_relative_to(folder):
        raise target_inside(file)
    check_target(file)
    paths, exclusions = _files(folder)
    with new_file(file) as out:
        _write(folder, top, paths, out)
    size = file.stat().st_size
    return PackedProject(file, len(paths), size, tuple(exclusions))


def _files(folder: Path) -> tuple[list[PurePosixPath], list[str]]:
    """Return what goes into the archive, in order, and what is left out with the reason."""
    gitignore_paths = _paths_in_gitignore(folder)
    files: list[PurePosixPath] = []
    exclusions = [f"{path}: ignored by git" for path in sorted(gitignore_paths)]
    for place, inner, names in os.walk(folder):
        relative = PurePosixPath(Path(place).relative_to(folder).as_posix())
        links = [name for name in inner if Path(place, name).is_symlink()]
        inner[:] = [
            name
            for name in inner
            if travels(relative / name) and f"{relative / name}/" not in gitignore_paths
        ]
        for path in (relative / name for name in [*names, *links]):
            if not travels(path) or str(path) in gitignore_paths:
                continue
            if stat.S_ISREG((folder / path).lstat().st_mode):
                files.append(path)
            else:
                exclusions.append(f"{path}: a link or device")
    strangers = set(unshared_files([str(path) for path in files]))
    exclusions += [f"{path}: no part of the project" for path in sorted(strangers)]
    return sorted((path for path in files if str(path) not in strangers), key=str), exclusions


def _paths_in_gitignore(folder: Path) -> set[str]:
    """Return what the project's own .gitignore files name; folders end with a slash."""
    if not any(folder.rglob(".gitignore")):
        return set()
    with tempfile.TemporaryDirectory(prefix="kiln-mcp-") as git_folder:
        git = Git(folder)
        try:
            git.run("init", "-q", "--bare", git_folder)
            options = (
                "--git-dir",
                git_folder,
                "--work-tree",
                str(folder),
                "-c",
                "core.excludesFile=",
            )
            paths = git.lines(
                *options, "ls-files", "-o", "-i", "--exclude-standard", "--directory", "-z"
            )
        except GitError:
            return set()
    return {path for path in paths if travels(PurePosixPath(path))}


def _write(folder: Path, top: str, files: Sequence[PurePosixPath], out: IO[bytes]) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            info = zipfile.ZipInfo(str(PurePosixPath(top, path)), _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = _MODE
            info.file_size = (folder / path).stat().st_size
            with (folder / path).open("rb") as source, archive.open(info, "w") as target:
                shutil.copyfileobj(source, target)
