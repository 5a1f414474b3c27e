"""Addresses of servers: what is asked, what is shown, and the password that is in one."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from socket import gethostname
from typing import Self
from urllib.parse import unquote, urlsplit

from storage.text.secret_masks import MASK, forms_of

_LOGIN: re.Pattern[str] = re.compile(r"^([a-z][a-z0-9+.-]*://)?.*@", re.IGNORECASE | re.DOTALL)


def mask_login(address: str) -> str:
    """Return an address as it may be read by anybody: `…` for the name and the password in it."""
    return _LOGIN.sub(rf"\g<1>{MASK}@", address)


def is_address(address: str) -> bool:
    """Whether this is an address that can be asked."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # wrong ones are found when they are read
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def has_login(address: str) -> bool:
    """Whether an address names a user or a password."""
    return "@" in urlsplit(address).netloc


def shared_name(address: str) -> str:
    """Return what an address is called on every machine: a loopback is each one's own."""
    host = urlsplit(address).hostname or ""
    own = host in {"localhost", "::1"} or host.startswith("127.")
    return f"{gethostname()} {address}" if own else address


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is.

    Attributes:
        url: Without a slash at its end, and without the name and the password.
        display_url: With `…` in their place.
        authorization: The header's value that they make; None where there are none.
        secrets: What of them must not be read by anybody.
    """

    url: str
    display_url: str
    authorization: str | None = field(default=None, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, base_url: str) -> Self:
        """Read an address as a person writes it."""
        address = base_url.rstrip("/")
        if not has_login(address):
            return cls(address, address)
        login, _, place = urlsplit(address).netloc.rpartition("@")
        user, _, password = login.partition(":")
        pair = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        secrets = {pair, *forms_of(password), *forms_of(unquote(password))}
        url = urlsplit(address)._replace(netloc=place).geturl()
        return cls(url, mask_login(address), f"Basic {pair}", frozenset(secrets))
