"""Settings, read once at the door from the environment.

KILN_MCP_HOME    the per-user home (index, response cache, known projects); default: the
                 platform's data directory
KILN_MCP_DATABASE_URL  a Postgres database for jobs on several machines
KILN_MCP_ITEM_SECONDS, KILN_MCP_ITEM_MB  limits of one item of logic that a project or a caller
                 supplies (`storage/isolation/item_limits.py`)
KILN_MCP_MODEL   the model of calls that name none; default: the embedded one
KILN_MCP_EMBEDDINGS  the folder of a model2vec model, by which texts that mean the same are alike
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs

from kiln_mcp.llm import EMBEDDED, EmbeddedSettings, EngineSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process, for its whole life.

    Attributes:
        home: The per-user home, for all private and derived data; no project lies in it.
        engine: The settings of the model engine.
        started_in: The folder that relative paths begin in; None if several clients are served,
            which have folders of their own.
        shared_database_url: The Postgres database for jobs of several machines; None for the
            database of the home.
        does_jobs: Whether this process runs jobs if no other process of the home does. A process
            that soon ends only hands them in.
        toolsets: The sets of tools that clients are shown beside the default one, if they do not
            say it themselves.
        output_schemas: Whether the list of tools holds the schemas of answers, likewise.
        embeddings: The folder of the user's embedding model; None for none.
        poll_s: How often a door looks for changes of jobs and work orders.
    """

    home: Path
    engine: EngineSettings
    started_in: Path | None = None
    shared_database_url: str | None = None
    does_jobs: bool = True
    toolsets: tuple[str, ...] = ()
    output_schemas: bool = False
    embeddings: Path | None = None
    poll_s: float = 1.0

    @property
    def database_url(self) -> str:
        """The database of jobs: in the home, unless a shared one is named."""
        return self.shared_database_url or f"sqlite:///{self.home / 'jobs.sqlite'}"

    @property
    def default_model(self) -> str:
        """The model of calls that name none."""
        return self.engine.default_model

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from environment variables."""
        folder = environment.get("KILN_MCP_HOME")
        home = Path(folder) if folder else Path(platformdirs.user_data_dir("kiln-mcp", False))
        home = Path(os.path.abspath(home.expanduser()))  # noqa: PTH100 - links stay
        gguf = environment.get("KILN_MCP_GGUF")
        embeddings = environment.get("KILN_MCP_EMBEDDINGS")
        engine = EngineSettings(
            response_cache=home / "responses.sqlite",
            dialects=home / "dialects.sqlite",
            orders=home / "orders.sqlite",
            tuned_models=home / "tuned_models.json",
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
            embeddings=Path(embeddings).expanduser().absolute() if embeddings else None,
        )
