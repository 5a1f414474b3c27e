"""Keys of model providers: from the environment, else from the system's keyring."""

from collections.abc import Mapping, Sequence

import anyio.to_thread

from kiln_mcp.llm.errors import KEYRING_SERVICE, KeyProblem, MissingKey, as_sentence


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


async def find_key(variable: str, environment: Mapping[str, str]) -> str | None:
    """Return a key by the name of its environment variable; None if none is set.

    If the environment has none, the system's keyring is asked for the service `kiln-mcp` and the
    same name.
    """
    return environment.get(variable) or await anyio.to_thread.run_sync(_from_keyring, variable)


def missing_key(
    model: str, variables: Sequence[str], settings: Sequence[Sequence[str]] = ()
) -> MissingKey:
    """Return the error for a key or a setting that is not there.

    Args:
        model: The model that needs it.
        variables: One of them must hold the key; empty if the key is there.
        settings: One of each of these is missing, too.
    """
    missing = [" or ".join(group) for group in (variables, *settings) if group]
    needs = "a key and none is set" if variables or not settings else "settings that are missing"
    return MissingKey(
        model,
        " and ".join(missing) or "the provider's API key variable",
        needs=needs,
        variable=variables[0] if variables else "VARIABLE",
    )


def rejected_key(model: str, detail: str, variables: Sequence[str] = ()) -> KeyProblem:
    """Return the error for a key that the provider does not accept.

    Args:
        model: The model that was asked.
        detail: The provider's own words.
        variables: Where the key may be set.
    """
    return KeyProblem(
        "The provider of {model} does not accept the key{place}: {detail} Check the key's value "
        "and rights, then try again.",
        model=model,
        place=f" in {' or '.join(variables)}" if variables else "",
        detail=as_sentence(detail),
    )
