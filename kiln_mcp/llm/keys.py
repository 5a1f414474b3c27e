"""Keys of model providers: from the environment, else from the system's keyring."""

from collections.abc import Mapping
from typing import Final

import anyio.to_thread

from kiln_mcp.llm.errors import KEYRING_SERVICE


def _from_keyring(variable: str) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(KEYRING_SERVICE, variable)
    except KeyringError:
        return None


_SECRET: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD")
SHORTEST_KEY: Final = 6


async def find_key(variable: str, environment: Mapping[str, str]) -> str | None:
    """Return a key by the name of its environment variable, or None where none is set.

    Where the environment has none, the system's keyring is asked for the service `kiln-mcp` and
    the same name.
    """
    return environment.get(variable) or await anyio.to_thread.run_sync(_from_keyring, variable)


def without_keys(text: str, environment: Mapping[str, str]) -> str:
    """Return a text, for example of a server, without any key of the environment in it."""
    for name, value in environment.items():
        if name.upper().endswith(_SECRET) and len(value) >= SHORTEST_KEY:
            text = text.replace(value, "…")
    return text
