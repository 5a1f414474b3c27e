"""Keys of model providers: from the environment, else from the system's keyring."""

import json
import re
from collections.abc import Iterable, Mapping
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
    keys = (value for name, value in environment.items() if name.upper().endswith(_SECRET))
    return without(
        text, [form for key in keys if len(key) >= SHORTEST_KEY for form in secret_forms(key)]
    )


def secret_forms(secret: str) -> frozenset[str]:
    """Return how a secret is written: as it is, and within JSON; nothing where there is none."""
    return frozenset({secret, json.dumps(secret)[1:-1]} - {""})


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text with `…` for every secret in it; of a short one, where it is a word."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may hold another
        if len(secret) >= SHORTEST_KEY:
            text = text.replace(secret, "…")
        else:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "…", text)
    return text
