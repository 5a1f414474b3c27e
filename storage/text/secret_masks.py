"""The one place that masks secrets in texts: keys, passwords in addresses, secret arguments."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

MASK: Final = "…"
SHORTEST_SECRET: Final = 6
"""A shorter secret is masked only as a word of its own."""
_SECRET_NAME: Final = re.compile(
    r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?![A-Z])", re.IGNORECASE
)
# Keys as providers write them, also with a middle that they have masked with stars.
_KEY: Final = re.compile(
    r"\b(?:(?:sk|pk|rk|gsk|xai|hf|key|ghp|gho|github_pat)[-_]"
    r"(?:[-_A-Za-z0-9]{16,}|(?=[-_A-Za-z0-9]*\*)[-_*A-Za-z0-9]{8,})"
    r"|(?:AIza|AKIA)[-_*A-Za-z0-9]{8,})"
    r"|(?<=Bearer )[A-Za-z0-9._~+/-]{16,}=*"
)
_LOGIN: Final = re.compile(r"(?<=[a-z0-9+.-]://)[^\s/]*@", re.IGNORECASE)
_ADDRESS_LOGIN: Final = re.compile(r"^([a-z][a-z0-9+.-]*://)?.*@", re.IGNORECASE | re.DOTALL)
_ARGUMENT: Final = re.compile(r"((?:token|password|secret|key)=)[^&\s'\"]+", re.IGNORECASE)


def forms_of(secret: str) -> frozenset[str]:
    """Return how a secret may be written: as it is, and within JSON; nothing for an empty one."""
    return frozenset({secret, json.dumps(secret)[1:-1]} - {""})


def mask_secrets(text: str, secrets: Iterable[str], mask: str = MASK) -> str:
    """Return a text with a mask for each secret in it."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may hold another
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, mask)
        else:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", mask, text)
    return text


def mask_environment(text: str, environment: Mapping[str, str], *, with_names: bool = False) -> str:
    """Return a text with a mask for each secret value of the environment.

    Args:
        text: The text.
        environment: Variables; a name that speaks of a key, token, secret, password or credential
            has a secret value.
        with_names: Whether the mask is the variable's name in brackets.
    """
    names = {
        form: name
        for name, value in environment.items()
        if len(value) >= SHORTEST_SECRET and _SECRET_NAME.search(name)
        for form in forms_of(value)
    }
    for form in sorted(names, key=len, reverse=True):
        text = text.replace(form, f"[{names[form]}]" if with_names else MASK)
    return text


def mask_keys(text: str, mask: str = MASK) -> str:
    """Return a text with a mask for each word that looks like a provider's key."""
    return _KEY.sub(mask, text)


def mask_address(address: str) -> str:
    """Return one address, as a person wrote it, with a mask for the user and the password."""
    return _ADDRESS_LOGIN.sub(rf"\g<1>{MASK}@", address)


def mask_logins(text: str) -> str:
    """Return a text with a mask for the user and the password of each address in it."""
    return _LOGIN.sub(f"{MASK}@", text)


def mask_arguments(text: str) -> str:
    """Return a text with a mask for each secret argument in it, such as `token=…`."""
    return _ARGUMENT.sub(rf"\g<1>{MASK}", text)
