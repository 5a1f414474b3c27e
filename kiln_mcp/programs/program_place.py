"""Where a program runs: its run config, its project's folder, and the variables that it gets."""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kiln_mcp.programs.errors import cannot_run
from storage.text.secret_masks import forms_of, mask_environment, mask_secrets

_USUAL: Final = (
    ("APPDATA", "LOCALAPPDATA", "PATH", "PATHEXT", "SYSTEMROOT", "TEMP", "TMP", "USERPROFILE")
    if sys.platform == "win32"
    else ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
)
"""Variables that every program gets; others only by name, because they may hold secrets."""
_SCHEMES: Final = frozenset({"basic", "bearer", "token"})
"""First words of a header's value before the secret itself."""


@dataclass(frozen=True, slots=True)
class ProgramPlace:
    """Where a program runs.

    Attributes:
        name: The run config's name, for sentences.
        folder: The project's folder.
        environment: The variables of this machine.
    """

    name: str
    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    def within(self, path: str) -> Path:
        """Return the absolute path of a folder or file that the program names."""
        return Path(os.path.abspath(self.folder / Path(path).expanduser()))  # noqa: PTH100 - links stay

    def variables(self, names: Iterable[str]) -> dict[str, str]:
        """Return the usual variables and those that are named.

        Raises:
            ModelError: One that is named is not set.
        """
        self.check_variables(names)
        # Doors hand over what a client lent beside the process's own variables.
        return {
            name: value
            for name in (*_USUAL, *names)
            if (value := self.environment.get(name, os.environ.get(name))) is not None
        }

    def check_variables(self, names: Iterable[str]) -> None:
        """Refuse variables that are not set where the workbench runs.

        Raises:
            ModelError: One is not set.
        """
        missing = [name for name in names if name not in self.environment]
        if missing:
            raise cannot_run(
                self.name,
                f"{', '.join(missing)} is not set where kiln-mcp runs. Set it there, and start "
                "the client again.",
            )

    def mask(self, text: str, names: Iterable[str] = ()) -> str:
        """Return a program's words without the secrets of the environment.

        Args:
            text: The words.
            names: Variables that hold secrets, whatever their names speak of.
        """
        values = [self.environment.get(name, "") for name in names]
        secrets = {form for value in values for word in _words(value) for form in forms_of(word)}
        return mask_secrets(mask_environment(text, self.environment), secrets)


def _words(value: str) -> tuple[str, ...]:
    """Return a secret, and without the scheme before it if it is the whole value of a header."""
    scheme, _, secret = value.partition(" ")
    return (value, secret.strip()) if scheme.lower() in _SCHEMES else (value,)
