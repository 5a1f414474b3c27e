"""Archives that a stranger may send as a project."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

PROJECT: Final = b'{"v": 1, "id": "123456789012", "name": "Sent", "model_type": "project"}'
MIB: Final = 2**20


def _tar(file: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(file, "w:gz") as archive:
        for info, content in (_member("project.kiln", PROJECT), *members):
            archive.addfile(info, io.BytesIO(content))


def _member(name: str, content: bytes = b"evil") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def _special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def _zip(file: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"project.kiln": PROJECT, **members}.items():
            archive.writestr(name, content)


def _dotted(file: Path, person: Path) -> None:
    _tar(file, _member("../" * 12 + str(person)[1:] + "/.bashrc"))


def _absolute(file: Path, person: Path) -> None:
    _tar(file, _member(f"{person}/.bashrc"))


def _through_link(file: Path, person: Path) -> None:
    _tar(file, _special("tasks", tarfile.SYMTYPE, str(person)), _member("tasks/.bashrc"))


def _hard_link(file: Path, person: Path) -> None:
    _tar(file, _special("notes", tarfile.LNKTYPE, f"{person}/.bashrc"), _member("notes"))


def _link_to_secret(file: Path, person: Path) -> None:
    _tar(file, _special("notes.txt", tarfile.SYMTYPE, f"{person}/.bashrc"))


def _device(file: Path, person: Path) -> None:
    _tar(file, _special("tasks/1/task.kiln", tarfile.CHRTYPE))


def _pipe(file: Path, person: Path) -> None:
    _tar(file, _special("tasks/1/task.kiln", tarfile.FIFOTYPE))


def _hooks(file: Path, person: Path) -> None:
    _tar(file, _member(".git/hooks/post-checkout"), _member(".git/config", b"[core]\n"))


def _journal(file: Path, person: Path) -> None:
    _tar(file, _member(".trash/pending/x.json", b'{"edits": [], "moves": []}'))


def _deep(file: Path, person: Path) -> None:
    _tar(file, _member("a/" * 1500 + "x"))


def _long_name(file: Path, person: Path) -> None:
    _tar(file, _member("tasks/" + "n" * 5000))


def _many(file: Path, person: Path) -> None:
    _zip(file, {f"tasks/{number}/x": b"" for number in range(20_000)})


def _zip_bomb(file: Path, person: Path) -> None:
    _zip(file, {"tasks/1/task.kiln": bytes(256 * MIB)})


def _gzip_bomb(file: Path, person: Path) -> None:
    with gzip.open(file, "wb", 1) as packed:
        for _ in range(256):
            packed.write(bytes(MIB))


def _zip_dotted(file: Path, person: Path) -> None:
    _zip(file, {"../" * 12 + str(person)[1:] + "/.bashrc": b"evil"})


def _zip_link(file: Path, person: Path) -> None:
    link = zipfile.ZipInfo("project.kiln")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(link, f"{person}/.bashrc")


def _zip_twice(file: Path, person: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive, io.BytesIO() as _:
        archive.writestr("project.kiln", PROJECT)
        archive.writestr("PROJECT.KILN", b"{}")
        archive.writestr("project.kiln/x", b"{}")


def _cut(file: Path, person: Path) -> None:
    _zip(file, {"tasks/1/x": b"x" * 10_000})
    file.write_bytes(file.read_bytes()[:-40])


def _false_size(file: Path, person: Path) -> None:
    _zip(file, {"tasks/1/x": b"x" * 100_000})
    real, false = (100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    file.write_bytes(file.read_bytes().replace(real, false))


def _empty(file: Path, person: Path) -> None:
    file.write_bytes(b"")


ARCHIVES: Final[Mapping[str, tuple[str, Callable[[Path, Path], None]]]] = {
    "a path with dots": ("tar.gz", _dotted),
    "an absolute path": ("tar.gz", _absolute),
    "a file through a link": ("tar.gz", _through_link),
    "a hard link out": ("tar.gz", _hard_link),
    "a link to a secret": ("tar.gz", _link_to_secret),
    "a device": ("tar.gz", _device),
    "a pipe": ("tar.gz", _pipe),
    "git's hooks": ("tar.gz", _hooks),
    "a journal": ("tar.gz", _journal),
    "1500 folders deep": ("tar.gz", _deep),
    "a name of 5000 characters": ("tar.gz", _long_name),
    "20,000 members": ("zip", _many),
    "a zip bomb": ("zip", _zip_bomb),
    "a gzip bomb": ("tar.gz", _gzip_bomb),
    "a zip with dots": ("zip", _zip_dotted),
    "a zip whose project is a link": ("zip", _zip_link),
    "names that fall together": ("zip", _zip_twice),
    "a zip that is cut": ("zip", _cut),
    "a zip with a false size": ("zip", _false_size),
    "nothing": ("zip", _empty),
}
