"""The mark that tells the journals of this person's own processes from those of a stranger.

A journal lies in the project's folder, which may come from anybody. So it begins with codes that
only this person on this machine can make (HMAC-SHA256, RFC 2104). One key lies in the person's own
data folder, so that every home of the same person settles what a killed process left, whichever
home that process used. Another lies in the home, for processes that see different data folders or
cannot write there. A journal counts if one of its codes is right.
"""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs

from storage.atomic_write import disk_errors, flush_file, flush_folder
from storage.errors import WriteError
from storage.files import read_plain

_KEY_FILE: Final = "journal.key"
_KEY_BYTES: Final = 32
_LONGEST_HEAD: Final = 2 * 64 + 1
_LONGEST_KEY: Final = 1024


class JournalSeal:
    """Marks journals, and recognises those that were marked.

    Args:
        state: This person's folder for the project.
    """

    def __init__(self, state: Path) -> None:
        self._places = (Path(platformdirs.user_data_dir("kiln-mcp", False)), state)

    def mark(self, text: bytes) -> bytes:
        """Return what a journal holds: the codes of its text, and the text.

        Raises:
            WriteError: There is no key, and none can be written.
        """
        person, state = self._places
        keys = [self._key(state)]
        with suppress(WriteError):  # a data folder that is read-only, or no folder
            keys.append(self._key(person))
        return b" ".join(_code(key, text) for key in keys) + b"\n" + text

    def text_of(self, content: bytes) -> bytes | None:
        """Return the text of a journal of this person's; None for any other."""
        head, _, text = content.partition(b"\n")
        own_codes = [_code(key, text) for place in self._places if (key := _read_key(place))]
        codes = head[:_LONGEST_HEAD].split(b" ")
        is_own = any(
            hmac.compare_digest(code, own_code) for code in codes for own_code in own_codes
        )
        return text if is_own else None

    def _key(self, place: Path) -> bytes:
        with disk_errors(place / _KEY_FILE):
            return _read_key(place) or _new_key(place)


def _read_key(place: Path) -> bytes | None:
    """Return the key in a folder; None if no usable one exists."""
    try:
        key = read_plain(place / _KEY_FILE, _LONGEST_KEY)
    except OSError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _code(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256").hex().encode()


def _new_key(folder: Path) -> bytes:
    """Write a new key if there is none; of two processes that do, one key stays."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / _KEY_FILE
    fresh = folder / f".{_KEY_FILE}.{secrets.token_hex(4)}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as key_file:
            key_file.write(secrets.token_bytes(_KEY_BYTES))
            flush_file(key_file)
        _publish(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)
    flush_folder(folder)
    return read_plain(file, _LONGEST_KEY)


def _publish(fresh: Path, file: Path) -> None:
    """Give a file its name, if no other process was first; a damaged one gives way."""
    with suppress(FileNotFoundError):
        if len(read_plain(file, _LONGEST_KEY)) == _KEY_BYTES:
            return
        file.unlink()
    try:
        file.hardlink_to(fresh)
    except FileExistsError:
        return
    except (OSError, NotImplementedError):  # a disk without hard links
        fresh.replace(file)
