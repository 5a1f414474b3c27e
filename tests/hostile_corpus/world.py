"""A home, projects, and what belongs to the person and must stay as it is."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue

RECORDS: Final[Mapping[str, str]] = {
    "task": "task.kiln",
    "run": "task_run.kiln",
    "eval": "eval.kiln",
    "judge": "eval_config.kiln",
    "config": "task_run_config.kiln",
}


@dataclass(frozen=True, slots=True)
class World:
    """Everything lies below one folder.

    Attributes:
        root: That folder.
    """

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def person(self) -> Path:
        """What the daemon takes for the person's home folder."""
        return self.root / "person"

    @property
    def sentinel(self) -> Path:
        """Other files of the person, with a repository."""
        return self.root / "sentinel"

    @property
    def files(self) -> Path:
        """Tables and archives that the person was sent."""
        return self.root / "files"

    @property
    def projects(self) -> Path:
        return self.root / "projects"

    @property
    def mark(self) -> Path:
        """Is there once any foreign program has run."""
        return self.root / "ran"

    @property
    def tools(self) -> Path:
        """A folder of foreign programs, by names that git and others start."""
        return self.root / "tools"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the client and so of the daemon that it starts."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "COVERAGE_PROCESS_START")
                if name in os.environ}  # fmt: skip
        return {
            **kept,
            "HOME": str(self.person),
            "XDG_DATA_HOME": str(self.root / "data"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "TMPDIR": str(self.root / "temporary"),
            "KILN_MCP_HOME": str(self.home),
            "KILN_MCP_MODEL": "loop/echo",
            "KILN_MCP_ITEM_SECONDS": "0.5",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def prepare(self, models: str) -> None:
        """Make the folders, the servers' file and what must stay as it is.

        Args:
            models: The address of the hostile models.
        """
        for folder in (self.home, self.person / ".ssh", self.files, self.projects, self.tools):
            folder.mkdir(parents=True, mode=0o700)
        for name in ("data", "cache", "temporary"):
            (self.root / name).mkdir(mode=0o700)
        (self.person / ".bashrc").write_text("export SECRET=canary-5812\n", encoding="utf-8")
        (self.person / ".ssh" / "authorized_keys").write_text("ssh-ed25519 A\n", encoding="utf-8")
        repository = self.sentinel / "repository"
        repository.mkdir(parents=True)
        (self.sentinel / "notes.txt").write_text("notes\n", encoding="utf-8")
        subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
        subprocess.run(["git", "init", "-q", "--bare", "shared.git"], cwd=self.projects, check=True)
        for name in ("evil", "post-checkout", "pre-commit", "reference-transaction"):
            program = self.tools / name
            program.write_text(f"#!/bin/sh\ntouch '{self.mark}'\ncat\n", encoding="utf-8")
            program.chmod(0o755)
        server = {
            "name": "loop",
            "base_url": models,
            "input_usd_per_million": 0,
            "output_usd_per_million": 0,
        }
        (self.home / "servers.json").write_text(json.dumps([server]), encoding="utf-8")

    def copy_project(self, name: str) -> Path:
        """Return a copy of the project that the tools made."""
        return shutil.copytree(self.projects / "made", self.projects / name, symlinks=True)

    def slots(self, project: Path) -> dict[str, JsonValue]:
        """Return what the names in braces of the corpus stand for, for one project."""
        slots: dict[str, JsonValue] = {
            "project": str(project),
            "person": str(self.person),
            "sentinel": str(self.sentinel),
            "files": str(self.files),
            "tools": str(self.tools),
            "evil": str(self.tools / "evil"),
            "shared": str(self.projects / "shared.git"),
            "ran": str(self.mark),
        }
        for name, file in RECORDS.items():
            first = min((self.projects / "made").rglob(file))
            slots[name] = first.parent.relative_to(self.projects / "made").as_posix()
            slots[f"{name}_id"] = json.loads(first.read_text(encoding="utf-8"))["id"]
        return slots

    def untouched(self) -> dict[str, str]:
        """Return what no input may change: all outside the home and the projects."""
        own = {self.home, self.projects, self.files, self.root / "data", self.root / "cache"}
        paths = [path for top in self.root.iterdir() if top not in own for path in _below(top)]
        return {str(path): _state(path) for path in paths}


def _below(top: Path) -> Iterable[Path]:
    is_folder = top.is_dir() and not top.is_symlink()
    return [top, *(top.rglob("*") if is_folder else ())]


def _state(path: Path) -> str:
    """Return the kind, the rights and the content of a file."""
    status = path.lstat()
    kind = stat.filemode(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return f"{kind} {os.readlink(path)}"  # noqa: PTH115
    if stat.S_ISREG(status.st_mode) and status.st_size < 50_000_000:
        return f"{kind} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return f"{kind} {status.st_size if stat.S_ISREG(status.st_mode) else ''}"
