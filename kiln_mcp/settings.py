"""Settings, read once at the door from the environment.

KILN_MCP_HOME    the per-user home (index, journal, known projects); default: the
                 platform's data directory
KILN_MCP_DATABASE_URL  a Postgres database for jobs on several machines
KILN_MCP_ITEM_SECONDS, KILN_MCP_ITEM_MB  limits of one item of logic that a project or a caller
                 supplies (`isolation/limits.py`)
KILN_MCP_MODEL   the model to use where none is named; default: the embedded one
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs

from kiln_mcp.llm import EMBEDDED, EmbeddedSettings, EngineSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """What the person set, for the life of a process.

    Attributes:
        home: The per-user home: everything derived or private lives here, no project does.
        engine: What the model engine must be told.
        started_in: The folder that relative paths begin in; None where several clients with
            folders of their own are served.
        shared_database_url: Jobs of several machines, in Postgres; None for the home's own.
        does_jobs: Whether this process does jobs where no other of the home does; False for one
            that soon ends, so that it hands them in only.
    """

    home: Path
    engine: EngineSettings
    started_in: Path | None = None
    shared_database_url: str | None = None
    does_jobs: bool = True

    @property
    def database_url(self) -> str:
        """Where jobs are kept: in the home, unless a shared database is named."""
        return self.shared_database_url or f"sqlite:///{self.home / 'jobs.sqlite'}"

    @property
    def default_model(self) -> str:
        """The model that is asked where a call names none."""
        return self.engine.default_model

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from environment variables."""
        chosen = environment.get("KILN_MCP_HOME")
        home = Path(chosen) if chosen else Path(platformdirs.user_data_dir("kiln-mcp", False))
        home = home.expanduser().absolute()
        gguf = environment.get("KILN_MCP_GGUF")
        engine = EngineSettings(
            journal=home / "journal.sqlite",
            orders=home / "orders.sqlite",
            server_file=home / "servers.json",
            default_model=environment.get("KILN_MCP_MODEL") or EMBEDDED,
            embedded=EmbeddedSettings(path=Path(gguf).expanduser() if gguf else None),
            environment=environment,
        )
        return cls(
            home=home,
            engine=engine,
            started_in=Path.cwd(),
            shared_database_url=environment.get("KILN_MCP_DATABASE_URL") or None,
        )
