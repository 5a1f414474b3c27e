"""Write files so that they hold the old content or the new, whole, and survive a power cut."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Final, NamedTuple

from storage.descriptors import flush_all
from storage.errors import WriteError
from storage.file_system_flush import can_flush, flush_when_done

File = str | Path
"""A path is built from text where there are thousands: `Path` takes ten times as long."""
_FRESH: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
)
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.new")
"""Names of files that are being written, or that a process left which died meanwhile."""
_FLUSHED_TOGETHER: Final = 128
"""Files that are open at once while their contents go to the disk."""
_PROBE_BYTES: Final = 65_536
_MANY: Final = 256
"""Files from which the whole file system is flushed at once, where it can be."""
_NAMES: Final = 1 << 32
"""As many names for what is aside as eight hexadecimal digits have."""


class FreshFile(NamedTuple):
    """A file with a new content that waits aside.

    Attributes:
        path: Where it is.
        changed_ns: When it was written, in nanoseconds; moving it changes nothing about that.
        size: Bytes.
        folder: The folder aside that holds nothing else and goes with it; None if there is none.
    """

    path: str
    changed_ns: int
    size: int
    folder: str | None = None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at every moment the old or the new content is there, whole.

    Raises:
        WriteError: The disk refused; nothing was changed.
    """
    move_into_place(write_aside(path, content), path)


@contextmanager
def new_file(path: Path) -> Generator[IO[bytes]]:
    """Open a file that appears whole at its path when the block ends without an error.

    Raises:
        WriteError: The disk refused; nothing was changed.
    """
    fresh = Path(_aside(path, path.parent))
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with fresh.open("xb") as file:
                yield file
                flush_file(file)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        flush_folder(path.parent)


def flush_file(file: IO[bytes]) -> None:
    """Write what an open file holds down to the disk."""
    file.flush()
    os.fsync(file.fileno())


def _aside(path: File, folder: File, number: int | None = None) -> str:
    """Return a path for a file's new content; `UNFINISHED` matches its name.

    Args:
        path: The file.
        folder: The folder that the path is in.
        number: Tells its name from others; None for a random one.
    """
    key = _random_number() if number is None else number
    return f"{folder}{os.sep}.{os.path.basename(path)}.{key % _NAMES:08x}.new"  # noqa: PTH119


def _random_number() -> int:
    return int.from_bytes(os.urandom(4))


def write_aside(path: Path, content: bytes, place: Path | None = None) -> Path:
    """Write a file's new content aside, down to the disk, and return where.

    What can fail for want of space or permission fails here, before anything is changed.

    Args:
        path: The file.
        content: What it is to hold.
        place: A folder of the same disk that is there; None for the file's own.

    Raises:
        WriteError: The disk refused; nothing was changed.
    """
    (fresh,) = write_all_aside([(path, content)], place or path.parent)
    return Path(fresh.path)


def write_all_aside(
    files: Sequence[tuple[File, bytes]],
    place: Path,
    make_parent: Callable[[str], None] | None = None,
    new_folders: Collection[str] = (),
) -> list[FreshFile]:
    """Write the new contents of several files aside, down to the disk, and return where.

    The disk is waited for once for many files together, where it can.

    Args:
        files: Each file with what it is to hold.
        place: A folder of the same disk that is there.
        make_parent: Makes the folder of a file; None for the usual way, which follows links.
        new_folders: Folders that are not there, and of which each is to hold one of the files:
            they are made aside. Moving them costs less than making them and moving their files.

    Raises:
        WriteError: The disk refused; nothing was changed, and no temporary file stays.
    """
    make = make_parent or make_folder
    fresh: list[FreshFile] = []
    numbers = count(_random_number())

    def write(path: File, content: bytes, number: int) -> int:
        folder = os.path.dirname(path)  # noqa: PTH120 - thousands of times
        is_new = folder in new_folders
        if not is_new:
            make(folder)
        aside = _aside(path, place, number)
        file, descriptor = (_write_with_folder if is_new else _write_one)(path, content, aside)
        fresh.append(file)
        return descriptor

    try:
        if len(files) >= _MANY and can_flush(place):
            with disk_errors(place), flush_when_done(place):
                for (path, content), number in zip(files, numbers, strict=False):
                    _close(write(path, content, number))
        else:
            for begin in range(0, len(files), _FLUSHED_TOGETHER):
                _write_together(files[begin : begin + _FLUSHED_TOGETHER], write)
    except BaseException:
        remove_fresh(fresh)
        raise
    return fresh


def remove_files(files: Iterable[File]) -> None:
    """Remove what was written aside, as far as the disk allows; the next writer sweeps the rest."""
    for file in files:
        with suppress(OSError):
            Path(file).unlink(missing_ok=True)


def remove_fresh(files: Iterable[FreshFile]) -> None:
    """Remove what was written aside, with the folders that were made for it."""
    for file in files:
        remove_files([file.path])
        if file.folder is not None:
            with suppress(OSError):
                Path(file.folder).rmdir()


def _write_together(
    files: Sequence[tuple[File, bytes]], write: Callable[[File, bytes, int], int]
) -> None:
    with ExitStack() as stack, disk_errors(files[0][0]):
        descriptors: list[int] = []
        for path, content in files:
            descriptor = write(path, content, _random_number())
            stack.callback(_close, descriptor)
            descriptors.append(descriptor)
        flush_all(descriptors)


def _write_with_folder(path: File, content: bytes, aside: str) -> tuple[FreshFile, int]:
    """Write a file's content into a folder aside that is made for it; return it open."""
    name = os.path.basename(path)  # noqa: PTH119 - thousands of times
    while True:
        try:
            os.mkdir(aside)  # noqa: PTH102 - as above
            break
        except FileExistsError:  # of thousands of short names two may be the same
            aside = _aside(path, os.path.dirname(aside))  # noqa: PTH120 - as above
    try:
        file, descriptor = _write_one(path, content, f"{aside}{os.sep}{name}", aside)
    except BaseException:
        os.rmdir(aside)  # noqa: PTH106 - as above
        raise
    return file, descriptor


def _write_one(
    path: File, content: bytes, aside: str, folder: str | None = None
) -> tuple[FreshFile, int]:
    """Write a file's content aside, maybe in a folder of its own; return it open."""
    try:
        file, descriptor = _create_aside(path, aside)
        try:
            _write_whole(descriptor, content)
            status = os.fstat(descriptor)
        except BaseException:
            _close(descriptor)
            remove_files([file])
            raise
    except OSError as error:
        raise _write_error(path, error) from error
    return FreshFile(file, status.st_mtime_ns, status.st_size, folder), descriptor


def _create_aside(path: File, aside: str) -> tuple[str, int]:
    """Create a file for a new content; of thousands of short names two may be the same."""
    while True:
        with suppress(FileExistsError):
            return aside, os.open(aside, _FRESH, 0o666)
        aside = _aside(path, os.path.dirname(aside))  # noqa: PTH120 - as above


def _write_whole(descriptor: int, content: bytes) -> None:
    """Write all of a content, of which the system may take a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _close(descriptor: int) -> None:
    """Close a file; what it could not write is refused where it is flushed."""
    with suppress(OSError):
        os.close(descriptor)


def make_folder(folder: str) -> None:
    """Make a folder, with those above it, unless it is there."""
    try:
        os.mkdir(folder)  # noqa: PTH102 - thousands of times
    except FileExistsError:
        pass
    except FileNotFoundError:
        Path(folder).mkdir(parents=True, exist_ok=True)


def flush_folders(folders: Iterable[File]) -> None:
    """Make the names in several folders survive a power cut, where the system can.

    Raises:
        WriteError: The disk refused.
    """
    if os.name == "nt":
        return
    waiting = list(folders)
    if len(waiting) >= _MANY and can_flush(place := Path(waiting[0])):
        with disk_errors(place), flush_when_done(place):
            return
    for begin in range(0, len(waiting), _FLUSHED_TOGETHER):
        _flush_folders(waiting[begin : begin + _FLUSHED_TOGETHER])


def _flush_folders(folders: Sequence[File]) -> None:
    with ExitStack() as stack:
        descriptors: list[int] = []
        for folder in folders:
            with disk_errors(folder):
                descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            descriptors.append(descriptor)
        if folders:
            with disk_errors(folders[0]):
                flush_all(descriptors)


def move_into_place(fresh: Path, path: Path) -> None:
    """Let what was written aside be the file.

    Raises:
        WriteError: The disk refused; nothing was changed.
    """
    try:
        with disk_errors(path):
            fresh.replace(path)
    except BaseException:
        remove_files([fresh])
        raise
    flush_folders([path.parent])


def check_room(folder: Path, size: int, place: Path | None = None) -> None:
    """Refuse a folder that could not take in new files of this size in all.

    A small file is written and removed, since only the disk knows what it takes.

    Args:
        folder: The folder.
        size: In bytes.
        place: A folder of the same disk for the small file; None for the folder itself.

    Raises:
        WriteError: It is read-only, or there is too little space.
    """
    if not os.access(folder, os.W_OK):
        raise read_only(folder)
    write_aside(folder, bytes(min(size, _PROBE_BYTES)), place or folder).unlink(missing_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        free_space, size_text = f"{free / 1e6:.1f} MB", f"{size / 1e6:.1f} MB"
        raise _disk_full(folder, f"the disk has {free_space} left and this takes about {size_text}")


def remove_empty_folders(folder: Path, top: Path) -> None:
    """Remove a folder, and those above it but not the topmost, as far as they are empty."""
    while folder != top:
        with suppress(OSError):
            folder.rmdir()
        if os.path.lexists(folder):
            return
        folder = folder.parent


def move_atomically(source: Path, target: Path) -> None:
    """Move a folder within one file system.

    Raises:
        WriteError: The disk refused; nothing was changed.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        flush_folder(target.parent)
        flush_folder(source.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: File) -> Generator[None]:
    """Turn what the disk refuses into the store's own errors.

    Raises:
        WriteError: The disk refused.
    """
    try:
        yield
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(file: File, error: OSError) -> WriteError:
    """Return the store's own error for what the disk refused."""
    path = Path(file)
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return read_only(path)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _disk_full(path, "the disk is full")
    return WriteError(path, error.strerror or str(error))


def read_only(path: Path) -> WriteError:
    """Return the error for a folder or file that this user must not write."""
    return WriteError(path, "the folder or file is read-only for this user")


def _disk_full(path: Path, state: str) -> WriteError:
    return WriteError(path, f"{state}; free some space and repeat")
