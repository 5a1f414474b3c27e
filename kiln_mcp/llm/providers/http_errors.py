"""Our errors for the refusals of servers and for broken connections."""

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from kiln_mcp.llm.errors import (
    ContextOverflow,
    ModelError,
    RejectedRequest,
    ServerDown,
    ServerFailure,
    TooManyRequests,
    Unavailable,
    UnknownModel,
    WrongAddress,
    as_sentence,
)
from kiln_mcp.llm.providers.keys import rejected_key
from storage.text.secret_masks import mask_keys, mask_logins

LONGEST_QUOTA_S: Final = 31 * 86_400.0
"""No quota is longer than a month; a longer wait is a mistake of the server's clock or unit."""
_OVERFLOW: Final = ("context length", "context size", "context window", "maximum context")
_NO_CREDIT: Final = re.compile(
    r"insufficient.{0,9}(?:quota|balance|funds|credits?)|credit balance|no credits?\b|out of credit"
    r"|balance.{0,20}(?:insufficient|not enough|negative)|used all.{0,20}credits"
    r"|exceeded.{0,5}current.quota|billing|payment required|more credits"
    r"|budget.{0,10}exceeded|exceeded.{0,3}budget|spend(?:ing)? limit|arrear|overdue"
    r"|余额不足|欠费|请充值"
    r"|exceeded.{0,20}included credits|key limit exceeded",
    re.IGNORECASE,
)
_RATE: Final = re.compile(
    r"per.(?:second|minute|hour|day)|retry in|try again in|requests/|tokens/|\b[RT]P[MD]\b",
    re.IGNORECASE,
)
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]+)", re.IGNORECASE)
_VERSION: Final = re.compile(r"/v\d")
_NO_REASON: Final = "it gives no reason."
_TAG: Final = re.compile(r"<[^<>]{1,200}>")
# Names of a library's error classes before the provider's words.
_CLASSES: Final = re.compile(
    r"^(?:.{0,120}?\b\w*Exception - |(?:litellm\.)?\w+(?:Error|Timeout): )+"
)
_HANDLING: Final = re.compile(r"Handle with `litellm\.\w+`\.?$")


def refusal(
    model: str, status: int, text: str, headers: Mapping[str, str], keys: Sequence[str] = ()
) -> ModelError:
    """Return the error for a reply that is not 200; `keys` are the variables of its key."""
    message = server_message(text)
    wait = retry_after(headers)
    if is_out_of_credit(status, f"{_codes(text)} {message}"):
        return out_of_credit(model, message)
    match status:
        case 401 | 403:
            return rejected_key(model, message, keys)
        case 404 if "no endpoints found" in message.lower():  # OpenRouter: none takes the request
            return RejectedRequest(model, message)
        case 404:
            return UnknownModel(model, [], message)
        case 408 | 409 | 425:
            return ServerFailure(model, message, wait)
        case 429:
            return TooManyRequests(model, message, wait)
        case _ if is_overflow(message):  # 500 on some servers
            return ContextOverflow(model, message)
        case _ if status >= 500:  # also of a gateway: the server behind it may have answered
            return ServerFailure(model, message, wait, is_unanswered=True)
        case _:
            return RejectedRequest(model, message)


def is_overflow(message: str) -> bool:
    """Return whether a refusal says that the request is too long for the model."""
    return any(words in message.lower() for words in _OVERFLOW)


def is_out_of_credit(status: int, message: str) -> bool:
    """Return whether a refusal says that the account's money is spent, which no wait mends."""
    if status == 402:
        return True
    is_about_money = _NO_CREDIT.search(message) is not None
    return status in {400, 403, 429} and is_about_money and _RATE.search(message) is None


def out_of_credit(model: str, message: str) -> ModelError:
    """Return the error for an account whose money is spent."""
    return ModelError(
        "The account that pays for {model} has no credit left: {detail} Add credit at the "
        "provider, or use another model.",
        model=model,
        detail=as_sentence(message),
    )


def is_page(content: bytes) -> bool:
    """Return whether an answer is a web page, as a proxy or another kind of server sends."""
    return content[:64].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def page_description(content: bytes) -> str:
    """Describe a web page, as the rest of a sentence."""
    title = _TITLE.search(content.decode("utf-8", "replace"))
    label = server_message(title.group(1)[:100]).rstrip(".") if title else ""
    return f"sent a web page ({label})" if label else "sent a web page"


def nothing_there(model: str, address: str) -> WrongAddress:
    """Return the error for an address where neither answers nor a list of models are found."""
    proposal = "" if _VERSION.search(address) else f"{address}/v1"
    return wrong_address(model, address, "has nothing there (404)", proposal)


def wrong_address(model: str, address: str, fact: str, proposal: str = "") -> WrongAddress:
    """Return the error for an address that belongs to no model server.

    Args:
        model: The model that was asked.
        address: Where, as it may be shown.
        fact: What is there instead, as the rest of a sentence.
        proposal: The address that may be meant; empty if none is known.
    """
    return WrongAddress(
        "No model server answers for {model} at {address}: it {fact}. Check its 'base_url' in "
        "servers.json{hint}.",
        model=model,
        address=address,
        fact=fact,
        hint=f"; {proposal} may be meant" if proposal else "",
    )


def missing_list(server: str, address: str) -> WrongAddress:
    """Return the error for a server that has no list of its models."""
    if not _VERSION.search(address):
        return nothing_there(server, address)
    return WrongAddress(
        "The server {server!r} has no list of its models at {address}/models. Test a model that "
        "you name.",
        server=server,
        address=address,
    )


def unreadable_answer(model: str, detail: str) -> ModelError:
    """Return the error for a reply of 200 that holds no answer; a retry would not help."""
    error = ModelError(
        "What the server of {model} answers cannot be read: {detail} Check that its address is "
        "that of an OpenAI-compatible server, or use another model.",
        model=model,
        detail=as_sentence(detail),
    )
    error.is_unanswered = True
    return error


def timeout(model: str, seconds: float) -> Unavailable:
    """Return the error for an answer that did not come within the time limit."""
    return Unavailable(
        "The model {model} gave no answer within {seconds} s. Try again, raise the time limit, or "
        "use a faster model.",
        is_unanswered=True,
        model=model,
        seconds=round(seconds),
    )


def refusal_in(model: str, reply: Any, mask: Callable[[str], str] = str) -> ModelError | None:
    """Return the error that a server put into a reply of 200, or into the middle of a stream.

    Args:
        model: The model that was asked.
        reply: The JSON.
        mask: Masks secrets in the server's words.

    Returns:
        None if it is no error.
    """
    error = cast("Mapping[str, Any]", reply).get("error") if isinstance(reply, Mapping) else None
    if not error:
        return None
    details = cast("Mapping[str, Any]", error if isinstance(error, Mapping) else {})
    status = status_of(*(details.get(key) for key in ("code", "status", "type")))
    return refusal(model, status, mask(json.dumps({"error": error})), {})


_STATUSES: Final[Mapping[str, int]] = {str(status): status for status in range(400, 600)} | {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "RESOURCE_EXHAUSTED": 429,
    "insufficient_quota": 429,
    "context_length_exceeded": 400,
}


def _error_in(text: str) -> object:
    """Return the error in an error reply; the text if it is no JSON."""
    try:
        error: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(error, list) and error:
        error = cast("list[object]", error)[0]
    if isinstance(error, Mapping):
        error = cast("Mapping[str, object]", error).get("error", cast("object", error))
    return cast("object", error)


def _codes(text: str) -> str:
    """Return the words by which programs know an error, such as insufficient_quota."""
    error = _error_in(text)
    fields: Mapping[str, object] = {}
    if isinstance(error, Mapping):
        fields = cast("Mapping[str, object]", error)
    return " ".join(str(fields.get(name) or "") for name in ("code", "type", "status"))


def status_of(*kinds: object) -> int:
    """Return the HTTP status that an error's code, status or type means; 500 for unknown ones."""
    return next((_STATUSES[str(kind)] for kind in kinds if str(kind) in _STATUSES), 500)


def server_message(text: str) -> str:
    """Return the message in an error reply, or its text: one sentence without a key."""
    error = _error_in(text)
    if isinstance(error, Mapping):
        error = cast("Mapping[str, object]", error).get("message", cast("object", error))
    text = str(error)
    message = mask_keys(" ".join(_TAG.sub(" ", mask_logins(text)).split()))
    if not message:
        return _NO_REASON
    return message if message.endswith((".", "!", "?")) else f"{message}."


def litellm_message(text: str) -> str:
    """Return a provider's message without the names of litellm's classes around it."""
    message = server_message(_HANDLING.sub("", _CLASSES.sub("", text.strip())))
    return _NO_REASON if "litellm" in message.lower() else message


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks for; None if there is no sensible time.

    The header names seconds or a time: RFC 9110, section 10.2.3.
    """
    asked_s = _wait_in(headers)
    return asked_s if asked_s is not None and asked_s <= LONGEST_QUOTA_S else None


def _wait_in(headers: Mapping[str, str]) -> float | None:
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * scale)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def unreachable(
    model: str, address: str, error: BaseException, *, is_connected: bool
) -> ServerDown:
    """Return the error for a failed connection, with its cause.

    Args:
        model: The model that was asked.
        address: The server's address.
        error: The failure.
        is_connected: Whether the connection was made, so that the request may have arrived.
    """
    for cause in causes(error):
        for kind, words in _CAUSES:
            if isinstance(cause, kind):
                return ServerDown(model, words(address), is_unanswered=is_connected)
    return ServerDown(model, f"the connection to {address} failed.", is_unanswered=is_connected)


_CAUSES: Final[tuple[tuple[type[BaseException], Callable[[str], str]], ...]] = (
    (socket.gaierror, lambda address: f"the host of {address} is not known."),
    (ssl.SSLError, lambda address: f"the certificate of {address} is not accepted."),
    (ConnectionRefusedError, lambda address: f"nothing listens at {address}."),
    (ConnectionError, lambda address: f"the connection to {address} was closed."),
    (TimeoutError, lambda address: f"no connection to {address} came about in time."),
)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, the nearest first."""
    visits: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in visits:
        visits.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
