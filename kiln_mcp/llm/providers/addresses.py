"""Addresses of servers: the URL to ask, the URL to show, and the password within."""

from base64 import b64encode
from dataclasses import dataclass, field
from socket import gethostname
from typing import Self
from urllib.parse import unquote, urlsplit

from storage.text.secret_masks import forms_of, mask_address


def is_address(address: str) -> bool:
    """Return whether a URL is an address of a server."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises ValueError if it is wrong
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def has_login(address: str) -> bool:
    """Return whether an address names a user or a password."""
    return "@" in urlsplit(address).netloc


def shared_name(address: str) -> str:
    """Return the name of an address on every machine: a loopback address is local to each."""
    host = urlsplit(address).hostname or ""
    own = host in {"localhost", "::1"} or host.startswith("127.")
    return f"{gethostname()} {address}" if own else address


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is.

    Attributes:
        url: Without a slash at its end, and without user and password.
        display_url: With `…` in place of user and password.
        authorization: The header's value for user and password; None if there are none.
        secrets: The forms of the password, which must not be shown.
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
        return cls(url, mask_address(address), f"Basic {pair}", frozenset(secrets))
