"""The signature of certificates: a code that only the workbench of one home can make.

It is HMAC-SHA256 (RFC 2104) with a key of the home. So it proves to this home that the bytes are as
it wrote them. It proves nothing to others, who have no key; they can replay draws and labels.
"""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue

from kiln_mcp.home import read_key, read_or_new_key

_KEY_FILE: Final = "certificate.key"
PROVES: Final = (
    "This home's workbench wrote exactly these bytes. Without the home's key nobody can check it; "
    "everybody can replay the draws and labels in the project."
)


class Signature(BaseModel):
    """The code of a text.

    Attributes:
        algorithm: How it is made.
        key: The first digits of the key's hash, which tell homes apart.
        code: The code, in hexadecimal digits.
        proves: What it shows, and what not.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    algorithm: str = "HMAC-SHA256 of the canonical JSON of `certificate`"
    key: str
    code: str
    proves: str = PROVES


def canonical_text(content: JsonValue) -> bytes:
    """Return JSON with sorted keys and no spaces, as it is signed."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return text.encode()


def sign(document: BaseModel, home: Path) -> Signature:
    """Return the signature of a document; the home gets a key if it has none.

    Raises:
        OSError: The key can be neither read nor written.
    """
    key = read_or_new_key(home / _KEY_FILE)
    return Signature(key=_key_name(key), code=_code(key, document.model_dump(mode="json")))


def is_signed_here(document: BaseModel, signature: Signature, home: Path) -> bool:
    """Return whether this home made the signature of exactly this document."""
    return is_content_signed_here(document.model_dump(mode="json"), signature.code, home)


def is_content_signed_here(content: JsonValue, code: str, home: Path) -> bool:
    """Return whether this home made the code of exactly this JSON of a document."""
    key = read_key(home / _KEY_FILE)
    if key is None:
        return False
    return hmac.compare_digest(_code(key, content).encode(), code.encode("utf-8", "replace"))


def key_name(home: Path) -> str | None:
    """Return the first digits of the hash of a home's key; None if it has none."""
    key = read_key(home / _KEY_FILE)
    return None if key is None else _key_name(key)


def _code(key: bytes, content: JsonValue) -> str:
    return hmac.digest(key, canonical_text(content), "sha256").hex()


def _key_name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]
