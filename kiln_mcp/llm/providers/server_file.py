"""The list of OpenAI-compatible servers: a JSON file in the home."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.providers.addresses import has_login, is_address
from kiln_mcp.llm.providers.server_settings import ServerSettings
from storage.errors import system_reason
from storage.text.excerpts import excerpt_line
from storage.text.secret_masks import mask_address

_RESERVED_NAMES: Final = frozenset({"embedded", "host"})
_SPACE: Final = " \t\r\n"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_KEY: Final = re.compile(r"(?=\w*\d)(?:sk|pk|rk|gsk|xai|hf|AIza|AKIA)\w{14}")
_NO_VARIABLE: Final = (
    "its value is not the name of an environment variable; if it is the key itself, set it in the "
    "environment and write the variable's name here"
)
_SECRETS: Final = frozenset({"key", "api_key", "apikey", "token"})


@dataclass(frozen=True, slots=True)
class ServerList:
    """The configured servers; or no servers and the problem with the file."""

    servers: tuple[ServerSettings, ...] = ()
    problem: ModelError | None = None


def list_servers(path: Path) -> ServerList:
    """Return the servers in a file, or the problem with it instead of an error."""
    try:
        return ServerList(read_servers(path))
    except ModelError as error:
        return ServerList(problem=error)


def unusable_file(path: Path, detail: str) -> ModelError:
    """Return the error for a list of servers that cannot be used."""
    return ModelError(
        "The list of model servers in {path} cannot be used: {detail}. Correct it, or name a model "
        "that is not in it, such as 'embedded'. It is a JSON list such as "
        '[{{"name": "local", "base_url": "http://127.0.0.1:8000/v1"}}].',
        path=path,
        detail=excerpt_line(detail),
    )


def read_servers(path: Path) -> tuple[ServerSettings, ...]:
    """Return the servers in a file; none if there is no file.

    Each entry has the fields of `ServerSettings`. A key is never written here: `key_variable`
    names the variable that holds it.

    Raises:
        ModelError: The file is no such list; it says the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unusable_file(path, system_reason(error)) from error
    except UnicodeDecodeError as error:
        raise unusable_file(path, "it is not text in UTF-8") from error
    try:
        values = json.loads(text)
    except ValueError as error:
        where = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise unusable_file(path, f"{where}it is not JSON ({error})") from error
    if not isinstance(values, list):
        raise unusable_file(path, f"line 1: it is {_KINDS[type(values)]}, and not a list")
    servers: list[ServerSettings] = []
    for entry in _entries(text):
        names = [server.name for server in servers]
        try:
            server = _ENTRY.validate_python(entry.value)
        except ValidationError as error:
            raise unusable_file(path, _entry_problem(entry, error)) from error
        problem = _problem(server, names)
        if problem is not None:
            raise unusable_file(path, f"line {entry.line_of(problem[0])}: {problem[1]}")
        servers.append(server)
    return tuple(servers)


_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
_ENTRY: Final = TypeAdapter(ServerSettings)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the list: its value, its text, and the line that it begins on."""

    value: JsonValue
    text: str
    line: int

    def line_of(self, field: str) -> int:
        """Return the line of a field; the entry's first line if the field is missing."""
        head, match, _ = self.text.partition(json.dumps(field))
        return self.line + head.count("\n") if match else self.line


def _entries(text: str) -> Iterator[_Entry]:
    decoder = json.JSONDecoder()
    place = text.index("[") + 1
    while text[place] != "]":
        if text[place] in _SPACE + ",":
            place += 1
            continue
        value, end = decoder.raw_decode(text, place)
        yield _Entry(value, text[place:end], text.count("\n", 0, place) + 1)
        place = end


def _entry_problem(entry: _Entry, error: ValidationError) -> str:
    """Return the first problem of an entry, with its line."""
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    where = f"line {entry.line_of(field)}: "
    match first["type"]:
        case "missing":
            return f"{where}the entry has no {field!r}"
        case "unexpected_keyword_argument" if field.casefold() in _SECRETS:
            return (
                f"{where}a key is never written here; name the environment variable or keyring "
                "entry that holds it as 'key_variable'"
            )
        case "unexpected_keyword_argument":
            valid = ", ".join(field.name for field in fields(ServerSettings))
            return f"{where}there is no field {field!r}; the fields are {valid}"
        case _ if field:
            return f"{where}{field!r}: {first['msg']}"
        case _:
            return f"{where}an entry is an object with 'name' and 'base_url'"


def _problem(server: ServerSettings, names: list[str]) -> tuple[str, str] | None:
    """Return the first field that cannot be used, and why; None if all can."""
    if not server.name or "/" in server.name or server.name in _RESERVED_NAMES:
        return "name", f"{server.name!r} cannot be a server's name: take one without a slash"
    if server.name in names:
        return "name", f"two servers have the name {server.name!r}"
    if not is_address(server.base_url):
        return (
            "base_url",
            f"{mask_address(server.base_url)!r} is no address such as http://host:8000/v1",
        )
    if server.key_variable is not None:
        if not _VARIABLE.fullmatch(server.key_variable) or _KEY.match(server.key_variable):
            return "key_variable", _NO_VARIABLE
        if has_login(server.base_url):
            return "key_variable", "it has no place beside the password in 'base_url'"
    return _problem_with_number(server)


def _problem_with_number(server: ServerSettings) -> tuple[str, str] | None:
    for field in ("concurrency", "requests_per_minute", "tokens_per_minute"):
        value = getattr(server, field)
        if value is not None and value < 1:
            return field, f"{field!r} is {value}; it is at least 1, or left out"
    for field in ("input_usd_per_million", "output_usd_per_million"):
        value = getattr(server, field)
        if value is not None and not 0 <= value < math.inf:
            return field, f"{field!r} is {value}; a price is 0 or more, or left out"
    return None
