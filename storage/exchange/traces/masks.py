"""Secrets in traces: headers, keys and passwords that reach no file of a project."""

import json
import re
from typing import Final, cast

from storage.exchange.columns import read_json
from storage.text.secret_masks import MASK, mask_keys, mask_logins

_SECRET_MEMBER: Final = re.compile(
    r"(?:proxy-?)?authorization|(?:set-?)?cookie|bearer"
    r"|(?:.*-)?(?:password|passwd|secret|credentials?|(?:api|private|secret|access)-?key)"
    r"|(?:.*-)?(?:access|refresh|auth|id|session|api|bearer|security)-?token",
    re.IGNORECASE,
)
"""Names of members whose text is a secret; a count of tokens has another name."""
_WORD_END: Final = re.compile(r"[_.\s]+|(?<=[a-z])(?=[A-Z])")
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")
"""A token may also be a word of a text, which is none of these."""
_HEADER: Final = re.compile(
    r"(?i)\b((?:proxy-)?authorization|x-api-key|api-key|set-cookie|cookie)"
    r"(\s*[:=]\s*)(?:(?:bearer|basic)\s+)?[^\s,;\"'}\]]+"
)
_SCHEME: Final = re.compile(r"\b(Bearer|Basic) [A-Za-z0-9._~+/-]{12,}=*")
_JSON_WEB_TOKEN: Final = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_MARKS: Final = ("authorization", "api-key", "cookie", "bearer ", "basic ", "eyj")
"""What a text has, in lower case, that one of the patterns above can match; much faster."""


def mask_value(value: object) -> object:
    """Return a JSON value with a mask for each secret in it, also within JSON texts."""
    if isinstance(value, str):
        return _mask_json(value) if value.lstrip()[:1] in ("{", "[") else mask_text(value)
    if isinstance(value, dict):
        return _mask_object(cast("dict[str, object]", value))
    if isinstance(value, list | tuple):
        return [mask_value(entry) for entry in cast("list[object]", value)]
    return value


def mask_text(text: str) -> str:
    """Return a text with a mask for each word in it that is a key, a token or a login."""
    lower_case = text.lower()
    if any(mark in lower_case for mark in _MARKS):
        text = _HEADER.sub(rf"\1\2{MASK}", text)
        text = _SCHEME.sub(rf"\1 {MASK}", text)
        text = _JSON_WEB_TOKEN.sub(MASK, text)
    return mask_logins(mask_keys(text)) if "://" in text else mask_keys(text)


def _mask_object(members: dict[str, object]) -> dict[str, object]:
    """Mask the members of an object; a list of headers has the name beside the value."""
    name = members.get("key", members.get("name", members.get("header")))
    is_pair = isinstance(name, str) and _is_secret(name)
    return {
        key: MASK
        if isinstance(value, str) and value and _is_secret_value(key, value, is_pair=is_pair)
        else mask_value(value)
        for key, value in members.items()
    }


def _is_secret_value(key: str, value: str, *, is_pair: bool) -> bool:
    if _is_secret(key) or (is_pair and key == "value"):
        return True
    return key.casefold() == "token" and _CREDENTIAL.fullmatch(value) is not None


def _is_secret(name: str) -> bool:
    return _SECRET_MEMBER.fullmatch(_WORD_END.sub("-", name)) is not None


def _mask_json(text: str) -> str:
    """Return JSON text with masks; it stays as it was written if nothing in it is a secret."""
    try:
        value = read_json(text)
    except ValueError:
        return mask_text(text)
    masked_value = mask_value(value)
    return text if masked_value == value else json.dumps(masked_value, ensure_ascii=False)
