"""Settings, read once at the door from the environment.

KILN_MCP_HOME    the per-user home (index, journal, known projects); default: the
                 platform's data directory
KILN_MCP_MODEL   the model to use where none is named; default: the embedded one
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs

EMBEDDED_MODEL = "embedded"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the person set, for the life of a process.

    Attributes:
        home: The per-user home: everything derived or private lives here, no project does.
        default_model: The model that is asked where a call names none.
    """

    home: Path
    default_model: str = EMBEDDED_MODEL

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from environment variables."""
        chosen = environment.get("KILN_MCP_HOME")
        home = Path(chosen) if chosen else Path(platformdirs.user_data_dir("kiln-mcp", False))
        return cls(
            home=home.expanduser().absolute(),
            default_model=environment.get("KILN_MCP_MODEL") or EMBEDDED_MODEL,
        )
