"""Add our entry to a client's list of servers, and remove it; nothing else in the file changes."""

import difflib
import importlib.util
import os
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import tomlkit
from pydantic import JsonValue
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from kiln_mcp.doors.clients.client_files import SERVER, ClientFile, Launch
from kiln_mcp.doors.clients.json_edits import NotJson, value_at, with_value, without_value
from kiln_mcp.home import write_private
from kiln_mcp.llm.providers.embedded_parts import DISTRIBUTION, EXTRA, LIBRARY
from storage.errors import Refusal

LARGEST_FILE: Final = 16 * 2**20
LASTING: Final = ("KILN_MCP_HOME", "KILN_MCP_MODEL")
"""Settings that an entry holds with their values, where they are set: none is a secret."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A change of one client's file that has not been written yet.

    Attributes:
        client: Whose file.
        path: The file itself, links followed.
        old_content: Its bytes; None if there is no file.
        new_content: Its bytes after the change.
    """

    client: ClientFile
    path: Path
    old_content: bytes | None
    new_content: bytes

    @property
    def is_needed(self) -> bool:
        """Whether the change does anything."""
        return self.old_content != self.new_content

    def difference(self) -> str:
        """Return the changed lines as a unified difference."""
        return "".join(
            difflib.unified_diff(
                _text(self.old_content or b"").splitlines(keepends=True),
                _text(self.new_content).splitlines(keepends=True),
                str(self.path),
                str(self.path),
                n=2,
            )
        )

    def write(self) -> Path | None:
        """Write the file, whole or not at all; return the backup of the old one, if there was one.

        Raises:
            Refusal: Another program has changed it since it was read.
            OSError: The disk refused; nothing was changed.
        """
        if _read(self.path) != self.old_content:
            raise Refusal(
                "{path} has been changed by another program just now. Nothing was written. Close "
                "{title}, and run the command again.",
                path=self.path,
                title=self.client.title,
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.old_content is None:
            _replace(self.path, self.new_content)
            return None
        rights = stat.S_IMODE(self.path.stat().st_mode)
        backup = self._backup_path()
        _replace(backup, self.old_content, rights)
        _replace(self.path, self.new_content, rights)
        return backup

    def restore(self) -> None:
        """Write the file back as it was before, if nobody has changed it since.

        Raises:
            OSError: The disk refused.
        """
        if _read(self.path) != self.new_content:
            return
        if self.old_content is None:
            self.path.unlink()
        else:
            _replace(self.path, self.old_content, stat.S_IMODE(self.path.stat().st_mode))

    def _backup_path(self) -> Path:
        time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = self.path.with_name(f"{self.path.name}.{time}.backup")
        number = 1
        while path.exists():
            number += 1
            path = self.path.with_name(f"{self.path.name}.{time}-{number}.backup")
        return path


def plan_entry(client: ClientFile, launch: Launch) -> FileChange:
    """Return the change that adds our entry, or brings it up to date.

    Raises:
        Refusal: The file cannot be read or understood.
    """
    entry = client.entry(launch)
    path = [*client.parents, SERVER]
    if client.is_toml:
        return _change(client, lambda text: _with_table(text, path, entry))
    return _change(client, lambda text: with_value(text, path, entry))


def plan_removal(client: ClientFile) -> FileChange:
    """Return the change that removes our entry.

    Raises:
        Refusal: The file cannot be read or understood.
    """
    path = [*client.parents, SERVER]
    edit = _without_table if client.is_toml else without_value
    return _change(client, lambda text: edit(text, path) if text.strip() else text)


def is_registered(client: ClientFile) -> bool:
    """Return whether a client's file has our entry; a file that cannot be read has none."""
    path = [*client.parents, SERVER]
    with suppress(Refusal, OSError, NotJson, TOMLKitError, UnicodeDecodeError):
        text = _text(_read(client.path) or b"")
        if client.is_toml:
            return _table(tomlkit.parse(text), path) is not None
        return bool(text.strip()) and value_at(text, path) is not None
    return False


def lasting_settings(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the settings of this environment that a client starts the server with."""
    return tuple((name, environment[name]) for name in LASTING if environment.get(name))


def own_launch(
    settings: tuple[tuple[str, str], ...] = (),
    keys: tuple[str, ...] = (),
    python: str = sys.executable,
) -> Launch:
    """Return how a client starts this very installation.

    An installation that a runner such as uvx made for one run has no lasting place; a client is
    told to use the runner, with the extra that is installed here.
    """
    program = Path(python).with_name("kiln-mcp.exe" if os.name == "nt" else "kiln-mcp")
    if any(part in {"archive-v0", "environments-v2"} for part in program.parts):
        has_extra = importlib.util.find_spec(LIBRARY) is not None
        return Launch("uvx", (EXTRA if has_extra else DISTRIBUTION,), settings, keys)
    if program.exists():
        return Launch(str(program), (), settings, keys)
    return Launch(python, ("-m", "kiln_mcp.doors.bridge"), settings, keys)


def _change(client: ClientFile, edit: Callable[[str], str]) -> FileChange:
    path = client.path.resolve()  # a link to a person's collection of settings stays a link
    old_content = _read(path)
    try:
        new_text = edit(_text(old_content or b""))
    except (NotJson, TOMLKitError) as error:
        raise Refusal(
            "{path} is not valid {kind}: {reason}. Nothing was changed. Correct the file, and run "
            "the command again.",
            path=path,
            kind="TOML" if client.is_toml else "JSON",
            reason=str(error).rstrip("."),
        ) from error
    except UnicodeDecodeError as error:
        raise Refusal(
            "{path} is not text in UTF-8. Nothing was changed. Save it as UTF-8, and run the "
            "command again.",
            path=path,
        ) from error
    return FileChange(client, path, old_content, new_text.encode())


def _replace(path: Path, content: bytes, rights: int | None = None) -> None:
    """Write a file whole; it may hold keys of others, so it is never open to more people.

    Args:
        path: The file.
        content: Its bytes.
        rights: Who may use it; None for its person alone.
    """
    write_private(path, content)
    if rights is not None:
        path.chmod(rights)


def _read(path: Path) -> bytes | None:
    """Return the bytes of a file; None if there is none.

    Raises:
        Refusal: It is no file, or larger than any settings.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
        raise Refusal(
            "{path} is no settings file: it is {what}. Nothing was changed. Move it away, and run "
            "the command again.",
            path=path,
            what="too large" if stat.S_ISREG(status.st_mode) else "no ordinary file",
        )
    return path.read_bytes()


def _text(content: bytes) -> str:
    return content.decode("utf-8")


def _table(document: tomlkit.TOMLDocument, path: list[str]) -> Table | None:
    holder: tomlkit.TOMLDocument | Table = document
    for key in path:
        inner = holder[key] if key in holder else None  # noqa: SIM401 - its `get` has no type
        if not isinstance(inner, Table):
            return None
        holder = inner
    return holder if isinstance(holder, Table) else None


def _with_table(text: str, path: list[str], entry: dict[str, JsonValue]) -> str:
    """Return TOML with an entry; comments, order and layout of the rest stay."""
    document = tomlkit.parse(text)
    if _table(document, path) == entry:
        return text
    holder: tomlkit.TOMLDocument | Table = document
    for key in path[:-1]:
        if key not in holder:
            holder.add(key, tomlkit.table(is_super_table=True))
        inner = holder[key]
        if not isinstance(inner, Table):
            raise TOMLKitError(f"'{key}' is no table")
        holder = inner
    if path[-1] in holder:
        holder.remove(path[-1])
    table = tomlkit.table()
    for key, value in entry.items():
        table.add(key, value)
    holder.add(path[-1], table)
    return tomlkit.dumps(document)


def _without_table(text: str, path: list[str]) -> str:
    """Return TOML without an entry."""
    document = tomlkit.parse(text)
    holder = _table(document, path[:-1])
    if holder is None or path[-1] not in holder:
        return text
    holder.remove(path[-1])
    return tomlkit.dumps(document)
