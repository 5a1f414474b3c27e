"""Unpack an untrusted archive.

No file is written outside of the folder, no link is made on the disk, and devices are refused.
The number of files, the bytes and the compression ratio are checked before unpacking, as far as
the headers tell. They are counted again while unpacking, because headers lie. So is the free space
of the disk.
"""

import bz2
import gzip
import io
import lzma
import posixpath
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Protocol

from storage.atomic_write import disk_errors
from storage.errors import Refusal
from storage.exchange.contents import travels
from storage.exchange.refusals import not_importable, unsafe_archive

_CHUNK = 1 << 20
_LONGEST_READ = 64 << 20
_LONGEST_LINK = 4096
_DEEPEST = 100
_ENCRYPTION_FLAG = 0x1
_UTF8_NAME = 0x800
_DRIVE = re.compile(r"[A-Za-z]:")
# What the readers raise on damaged bytes, found by changing bytes of whole archives.
_READ_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much an archive may hold.

    Attributes:
        files: Files and folders.
        size: Bytes, unpacked.
        ratio: Unpacked bytes for each byte of the archive, looked at above `careless` bytes.
        careless: Unpacked bytes that any archive may hold.
        free: Bytes that may be taken of the disk; None for what is free but `spare`.
        spare: Bytes that stay free.
    """

    files: int = 1_000_000
    size: int = 16 << 30
    ratio: int = 250
    careless: int = 256 << 20
    free: int | None = None
    spare: int = 64 << 20


LIMITS = ArchiveLimits()


class _Reader(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    """One thing in an archive; `target`, from the archive's top, is what a link stands for."""

    name: str
    kind: Literal["file", "folder", "link", "device"]
    size: int = 0
    open: Callable[[], IO[bytes] | None] = lambda: None
    target: str = ""


@dataclass(slots=True)
class _Meter:
    """Counts what an archive turns into."""

    archive: Path
    limits: ArchiveLimits
    into: Path
    files: int = 0
    size: int = 0
    archive_size: int = field(init=False)
    free: int = field(init=False)

    def __post_init__(self) -> None:
        self.archive_size = self.archive.stat().st_size
        free = self.limits.free
        free_space = shutil.disk_usage(self.into).free - self.limits.spare
        self.free = max(0, free_space) if free is None else free

    def check_promise(self, files: int, size: int) -> None:
        """Refuse, before anything is unpacked, what the headers say is too much."""
        self._check_files(files)
        self._check(size)

    def count_file(self, size: int) -> None:
        self.files += 1
        self._check_files(self.files)
        self._check(self.size + size)

    def count_bytes(self, size: int) -> None:
        self.size += size
        self._check(self.size)

    def _check_files(self, files: int) -> None:
        if files > self.limits.files:
            raise unsafe_archive(
                self.archive.name, f"it holds more than {self.limits.files:,} files"
            )

    def _check(self, size: int) -> None:
        limit = max(self.limits.careless, self.archive_size * self.limits.ratio)
        if size > min(limit, self.limits.size):
            raise unsafe_archive(
                self.archive.name,
                f"it unpacks to more than {min(limit, self.limits.size) >> 20:,} MB, "
                f"from {self.archive_size:,} bytes",
            )
        if size > self.free:
            raise Refusal(
                "{archive} was not imported: unpacked it takes more than {size} MB, and the disk "
                "has {free} MB left for it. Free some space, or choose a folder on another disk; "
                "nothing has been changed.",
                archive=self.archive.name,
                size=f"{size >> 20:,}",
                free=f"{self.free >> 20:,}",
            )


def unpack(archive: Path, into: Path, limits: ArchiveLimits = LIMITS) -> None:
    """Unpack a zip or tar archive into an empty folder; links become copies of their files.

    Raises:
        Refusal: It is no such archive, or is damaged.
        Refusal: It holds paths or links that lead out, devices, or too much.
        Refusal: It takes more space than the disk has left.
        WriteError: The disk refused.
    """
    meter = _Meter(archive, limits, into)
    links: dict[PurePosixPath, PurePosixPath] = {}
    try:
        with _entries(archive, meter) as entries:
            for entry in entries:
                meter.count_file(entry.size)
                path = _inside(archive, entry.name)
                if not travels(path) or not path.parts:
                    continue
                if entry.kind == "link":
                    links[path] = _inside(archive, entry.target, entry.name)
                else:
                    _unpack_one(archive, entry, into / path, meter)
    except _READ_ERRORS as error:
        raise not_importable(archive.name, f"the archive is damaged ({error})") from error
    _follow(links, into, meter)


def _unpack_one(archive: Path, entry: _Entry, path: Path, meter: _Meter) -> None:
    if entry.kind == "device":
        raise unsafe_archive(archive.name, f"{entry.name!r} is no file but a device")
    with disk_errors(path):
        if entry.kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise unsafe_archive(archive.name, f"{entry.name!r} is in it twice")
    source = entry.open()
    if source is not None:
        with source, disk_errors(path), path.open("xb") as file:
            while chunk := source.read(_CHUNK):
                meter.count_bytes(len(chunk))
                file.write(chunk)


def _follow(links: dict[PurePosixPath, PurePosixPath], into: Path, meter: _Meter) -> None:
    """Copy the targets of links to their places, also of links to links; skip dangling ones."""
    open_links = dict(links)
    while open_links:
        ready = [path for path, target in open_links.items() if (into / target).is_file()]
        if not ready:
            return
        for path in ready:
            target = into / open_links.pop(path)
            meter.count_bytes(target.stat().st_size)
            with disk_errors(into / path):
                (into / path).parent.mkdir(parents=True, exist_ok=True)
                (into / path).write_bytes(target.read_bytes())


def _inside(archive: Path, name: str, link: str | None = None) -> PurePosixPath:
    """Return a path from the archive's top, where it stays below it.

    Args:
        archive: The archive.
        name: The path, as it stands there.
        link: The link that leads to it; None for a path of the archive's own.
    """
    subject = f"the path {name!r}" if link is None else f"{link!r} is a link to {name!r}, which"
    posix_name = name.replace("\\", "/")
    if "\0" in name:
        raise unsafe_archive(archive.name, f"{subject} is no path")
    if _DRIVE.match(posix_name) or posix_name.startswith("/"):
        raise unsafe_archive(archive.name, f"{subject} is absolute")
    path = PurePosixPath(posixpath.normpath(posix_name or "."))
    if ".." in PurePosixPath(posix_name).parts and (link is None or path.parts[:1] == ("..",)):
        raise unsafe_archive(archive.name, f"{subject} leads out of it")
    if len(path.parts) > _DEEPEST:
        raise unsafe_archive(archive.name, f"{subject[:100]}… is more than {_DEEPEST} folders deep")
    return path


# ------------------------------------------------------------ what is in it


@contextmanager
def _entries(archive: Path, meter: _Meter) -> Generator[Iterable[_Entry]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zip_file:
            files = zip_file.infolist()
            meter.check_promise(len(files), sum(info.file_size for info in files))
            yield _zip_entries(archive, zip_file)
        return
    with ExitStack() as stack:
        stream = _BoundedStream(stack.enter_context(_decompress(archive)))
        try:
            tar = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))
        except tarfile.ReadError as error:
            raise not_importable(archive.name, "it is neither a zip nor a tar archive") from error
        yield _tar_entries(tar, stream)


def _zip_entries(archive: Path, zip_file: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in zip_file.infolist():
        if info.flag_bits & _ENCRYPTION_FLAG:
            raise not_importable(archive.name, "it is encrypted")
        name = _zip_name(info)
        form = stat.S_IFMT(info.external_attr >> 16)
        if name.endswith("/"):
            yield _Entry(name, "folder")
        elif form == stat.S_IFLNK:
            with zip_file.open(info) as content:
                target = content.read(_LONGEST_LINK).decode("utf-8", "replace")
            yield _Entry(name, "link", target=_from_top(name, target))
        elif form in (0, stat.S_IFREG):
            yield _Entry(name, "file", info.file_size, lambda info=info: zip_file.open(info))
        else:
            yield _Entry(name, "device")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Decode a name: some programs write UTF-8 without the flag for it."""
    if info.flag_bits & _UTF8_NAME:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _tar_entries(tar: tarfile.TarFile, stream: "_BoundedStream") -> Iterator[_Entry]:
    for member in tar:
        if member.isdir():
            yield _Entry(member.name, "folder")
        elif member.issym():
            yield _Entry(member.name, "link", target=_from_top(member.name, member.linkname))
        elif member.islnk():
            yield _Entry(member.name, "link", target=member.linkname)
        elif member.isreg():
            yield _Entry(
                member.name, "file", member.size, lambda member=member: tar.extractfile(member)
            )
        else:
            yield _Entry(member.name, "device")
    if not stream.last or stream.last.strip(b"\0"):
        # tarfile takes a cut for an end; a whole archive ends with a block of zeros.
        raise tarfile.ReadError("its end is missing")


def _from_top(name: str, target: str) -> str:
    return target if target.startswith("/") else posixpath.join(posixpath.dirname(name), target)


def _decompress(archive: Path) -> IO[bytes] | gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File:
    with archive.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    if start == b"\xfd7zXZ\0":
        return lzma.open(archive)
    return bz2.open(archive) if start.startswith(b"BZh") else archive.open("rb")


class _BoundedStream(io.BufferedIOBase):
    """A stream that refuses to be read in one huge piece, as a forged tar header would have it.

    Attributes:
        last: What was read last.
    """

    def __init__(self, stream: _Reader) -> None:
        self._stream = stream
        self.last = b""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError("a header is larger than any real one")
        self.last = self._stream.read(size)
        return self.last

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()
