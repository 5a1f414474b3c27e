"""Import a project from a folder, an archive or a git repository.

The project is built in a folder beside the target and renamed at the end, so that the target is
whole or not there. A copy of a folder or archive has no history. A clone of a repository keeps its
history and can be synced.
"""

import os
import re
import shutil
import stat
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from uuid import uuid4

import anyio.to_thread

from storage.atomic_write import disk_errors, move_atomically
from storage.border import check_target
from storage.collaboration.sync import fetch_project
from storage.errors import CorruptRecord, RecordNotFound, Refusal, UnreadableRecord, system_reason
from storage.exchange.archives import LIMITS, ArchiveLimits, unpack
from storage.exchange.contents import projects_in, travels
from storage.exchange.refusals import not_importable, target_exists, target_inside, unsafe_archive
from storage.files import NO_FILE, read_plain
from storage.format.layout import PROJECT_FILE
from storage.format.record_text import read_record
from storage.records import Project
from storage.records.names import folded_name

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://|[^/\\:\s]{2,}:")
_ABANDONED_S = 3600.0


def is_address(source: str) -> bool:
    """Whether a text is the address of a git repository elsewhere, and no path."""
    return _ADDRESS.match(source.strip()) is not None


async def receive_project(
    source: str, target: Path, *, name: str | None = None, limits: ArchiveLimits = LIMITS
) -> Path:
    """Import a project into a folder that does not exist yet, or is empty.

    Args:
        source: The path of a folder, archive or git repository, or a repository's address.
        target: The new folder.
        name: Which project, by its name or folder, where the source holds several.
        limits: How much an archive may hold.

    Returns:
        The target, which holds project.kiln now.

    Raises:
        Refusal: The target is there already.
        UnsafePath: The target lies in git's own folder.
        Refusal: There is no project in the source.
        Refusal: There are several, and none is named.
        Refusal: It holds what nobody should unpack.
        UnreadableRecord: The project's own file cannot be used.
        storage.git.errors.GitError: The repository could not be reached.
        storage.errors.Refusal: It holds no project at its top, or links or unsafe names.
    """
    place = Path(source.strip())
    await anyio.to_thread.run_sync(_check_target, target)
    if is_address(source) or await anyio.to_thread.run_sync(_is_bare_repository, place):
        await fetch_project(source.strip(), target)
    else:
        await anyio.to_thread.run_sync(_import_copy, place, target, name, limits)
    return target


def _import_copy(source: Path, target: Path, name: str | None, limits: ArchiveLimits) -> None:
    if not source.exists():
        raise not_importable(str(source), "it does not exist")
    if not (source.is_file() or source.is_dir()):
        raise not_importable(str(source), NO_FILE)
    if source.name == PROJECT_FILE:
        source = source.parent
    with _aside(target) as fresh:
        if source.is_dir():
            project = _choose_project(str(source), source, name)
            if target.resolve().is_relative_to(project.resolve()):
                raise target_inside(target)
            _copy_folder(project, fresh)
            _settle(fresh, fresh, target)
            return
        with disk_errors(fresh):
            fresh.mkdir(parents=True)
        unpack(source, fresh, limits)
        _settle(fresh, _choose_project(str(source), fresh, name), target)


def _settle(fresh: Path, project: Path, target: Path) -> None:
    """Flush the copy to the disk, then rename it to the target."""
    if hasattr(os, "sync"):
        os.sync()
    if target.exists():
        with disk_errors(target):
            target.rmdir()
    move_atomically(project, target)
    if project != fresh:
        shutil.rmtree(fresh, ignore_errors=True)


def _choose_project(source: str, folder: Path, name: str | None) -> Path:
    """Return the folder of the project with this name; without a name, of the only one."""
    names = {place: _project_name(place) for place in projects_in(folder)}
    if not names:
        raise not_importable(source, f"there is no {PROJECT_FILE} in it")
    if name is None:
        if len(names) > 1:
            raise _several_projects(source, [_label(folder, *item) for item in names.items()])
        return _readable(source, next(iter(names)))
    name_key = folded_name(name)
    matches = [
        place
        for place, project_name in names.items()
        if name_key
        in (folded_name(project_name), folded_name(place.relative_to(folder).as_posix()))
    ]
    if not matches:
        raise RecordNotFound("project", name, sorted(set(names.values())))
    if len(matches) > 1:
        raise _several_projects(source, [_label(folder, place, names[place]) for place in matches])
    return _readable(source, matches[0])


def _several_projects(source: str, names: Sequence[str]) -> Refusal:
    return Refusal(
        "{source} holds {count} projects: {names}. Nothing has been imported: give the name or "
        "folder of one.",
        source=source,
        count=len(names),
        names=names,
    )


def _readable(source: str, folder: Path) -> Path:
    try:
        read_record(Project, read_plain(folder / PROJECT_FILE), PROJECT_FILE)
    except CorruptRecord as error:
        reason = f"its {PROJECT_FILE} cannot be used, for {error.reason}"
        raise not_importable(source, reason) from error
    except OSError as error:
        reason = f"its {PROJECT_FILE} cannot be read, for {system_reason(error)}"
        raise not_importable(source, reason) from error
    return folder


def _project_name(folder: Path) -> str:
    """Return a project's name, or its folder's where its file cannot be read."""
    try:
        content = read_plain(folder / PROJECT_FILE)
        return read_record(Project, content, PROJECT_FILE).name
    except (UnreadableRecord, OSError):
        return folder.name


def _label(top: Path, folder: Path, name: str) -> str:
    return f"{name!r} ({folder.relative_to(top).as_posix()})"


def _copy_folder(source: Path, into: Path) -> None:
    """Copy what belongs to a project; links become copies of their files."""
    top = source.resolve()
    for folder, inner, files in os.walk(source):
        place = PurePosixPath(Path(folder).relative_to(source).as_posix())
        inner[:] = [name for name in inner if travels(place / name)]
        with disk_errors(into / place):
            (into / place).mkdir(parents=True, exist_ok=True)
        for entry in [*files, *(d for d in inner if (Path(folder) / d).is_symlink())]:
            if travels(place / entry):
                _copy_file(str(source), Path(folder, entry), into / place / entry, top)


def _copy_file(source: str, file: Path, target: Path, top: Path) -> None:
    if file.is_symlink():
        link_target = file.resolve()
        if not link_target.is_relative_to(top):
            raise unsafe_archive(source, f"{file.name} is a link that leads out of it")
        if not file.is_file() or not travels(
            PurePosixPath(link_target.relative_to(top).as_posix())
        ):
            return
    if not stat.S_ISREG(file.stat().st_mode):
        raise unsafe_archive(source, f"{file.name} is no file but a device")
    with disk_errors(target):
        shutil.copyfile(file, target)


# ------------------------------------------------------------ places


def _check_target(target: Path) -> None:
    check_target(target)
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise target_exists(target)
    if target.exists() and any(target.iterdir()):
        raise target_exists(target)


@contextmanager
def _aside(target: Path) -> Generator[Path]:
    """Yield the path of a temporary folder beside the target, and remove it at the end."""
    is_left_by = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.arriving").fullmatch
    beside = target.parent.iterdir() if target.parent.is_dir() else ()
    for leftover in [entry for entry in beside if is_left_by(entry.name)]:
        if time.time() - leftover.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(leftover, ignore_errors=True)
    fresh = target.with_name(f".{target.name}.{uuid4().hex[:8]}.arriving")
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _is_bare_repository(place: Path) -> bool:
    return (place / "HEAD").is_file() and (place / "objects").is_dir()
