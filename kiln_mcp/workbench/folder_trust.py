"""Which project folders may make this machine run programs of their own.

A project is data until its person trusts its folder: opening, reading and measuring it needs no
trust. Code evaluators, MCP tool servers and other programs that a project names do, because its
author would run commands with the rights of the person who opens it.

`trusted.json` in the home holds one line a folder. Only a person's door writes it: the command
`kiln-mcp trust` in a terminal. No capability grants trust. The record holds the folder's path, an
identity that a folder put in its place does not have, and the project's id. If one of the three
differs, the folder is not trusted. Trust covers what is changed in the folder later.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from kiln_mcp.home import prepare_home, write_private
from storage.errors import Refusal, StorageError, WorkbenchError
from storage.folder_identity import folder_identity
from storage.record_files import read_project

TRUST_FILE: Final = "trusted.json"
_LOCK_WAIT_S: Final = 10.0


class TrustedFolder(BaseModel):
    """The record of a trusted folder.

    Attributes:
        folder: Its absolute path, links resolved.
        identity: What a folder that was put in its place would not have.
        project: The id of its project.
        trusted_at: When the person trusted it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    folder: Path
    identity: str
    project: str
    trusted_at: datetime


class _TrustFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    folders: tuple[TrustedFolder, ...] = ()


_Change = Callable[[tuple[TrustedFolder, ...]], tuple[TrustedFolder, ...]]


@dataclass(frozen=True, slots=True)
class Trust:
    """The trusted folders of one home. Its methods block for a moment.

    Attributes:
        home: The per-user home.
    """

    home: Path

    def is_trusted(self, folder: Path) -> bool:
        """Return whether the person has trusted the project that lies in this folder now."""
        return self._objection(folder) is None

    def require_trust(self, folder: Path, program: str) -> None:
        """Refuse to go on if the folder is not trusted.

        Args:
            folder: The project's folder.
            program: What would be run, as a noun phrase: "the code evaluator 'Length'".

        Raises:
            Refusal: The person has not trusted it; the sentence names the command.
        """
        reason = self._objection(folder)
        if reason is not None:
            raise Refusal(
                "{program} was not run: {reason}. If the person trusts everything in that folder, "
                "they run in a terminal: kiln-mcp trust {folder}",
                program=f"{program[:1].upper()}{program[1:]}",
                reason=reason,
                folder=shlex.quote(str(folder)),
            )

    def folders(self) -> tuple[TrustedFolder, ...]:
        """Return the records of all trusted folders; none if the file cannot be read."""
        return self._read().folders

    def damage(self) -> str:
        """Return a sentence if the file of trusted folders cannot be used, else ""."""
        try:
            self._parse()
        except (OSError, ValidationError):
            return (
                f"{self._file} cannot be read, so no folder is trusted. Move it away, then trust "
                "your folders again."
            )
        return ""

    def grant(self, folder: Path) -> TrustedFolder:
        """Trust the project in a folder. Only a person's door calls this.

        Raises:
            StorageError: The folder holds no project that can be read.
            WorkbenchError: The file of trusted folders cannot be read.
            OSError: The disk refused.
        """
        place = folder.resolve()
        record = TrustedFolder(
            folder=place,
            project=read_project(place).id,
            identity=folder_identity(place),
            trusted_at=datetime.now(UTC),
        )
        self._write(lambda records: (*(r for r in records if r.folder != place), record))
        return record

    def revoke(self, folder: Path) -> bool:
        """Withdraw the trust in a folder, which need not exist; return whether it was trusted.

        Raises:
            WorkbenchError: The file of trusted folders cannot be read.
            OSError: The disk refused.
        """
        place = folder.resolve()
        was_trusted = any(record.folder == place for record in self.folders())
        self._write(lambda records: tuple(r for r in records if r.folder != place))
        return was_trusted

    @property
    def _file(self) -> Path:
        return self.home / TRUST_FILE

    def _objection(self, folder: Path) -> str | None:
        """Return why a folder is not trusted; None if it is."""
        place = folder.resolve()
        record = next((r for r in self.folders() if r.folder == place), None)
        if record is None:
            return f"the folder {place} is not trusted"
        try:
            same = (folder_identity(place), read_project(place).id) == (
                record.identity,
                record.project,
            )
        except (OSError, StorageError):
            return f"the project in {place} cannot be read"
        if same:
            return None
        day = f"{record.trusted_at:%Y-%m-%d}"
        return f"{place} is another folder than the one that was trusted on {day}"

    def _parse(self) -> _TrustFile:
        try:
            return _TrustFile.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return _TrustFile()

    def _read(self) -> _TrustFile:
        try:
            return self._parse()
        except (OSError, ValidationError):
            return _TrustFile()

    def _write(self, change: _Change) -> None:
        """Change the list under a lock, so that two processes lose nothing."""
        prepare_home(self.home)
        with FileLock(self.home / f"{TRUST_FILE}.lock", timeout=_LOCK_WAIT_S):
            if damage := self.damage():
                raise WorkbenchError(damage)
            content = _TrustFile(folders=change(self._read().folders)).model_dump_json(indent=2)
            write_private(self._file, content.encode())
