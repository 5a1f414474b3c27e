"""The person's list of OpenAI-compatible servers: a JSON file in the per-user home."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kiln_mcp.llm.errors import ServerFileUnreadable
from kiln_mcp.llm.settings import ServerSettings
from storage.errors import said_by_system


def read_servers(path: Path) -> tuple[ServerSettings, ...]:
    """Return the servers in a file, none where there is no file.

    Each entry has the fields of `ServerSettings`. A key is never written here: `key_variable`
    names where it is found.

    Raises:
        ServerFileUnreadable: The file is no such list.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ServerFileUnreadable(path, said_by_system(error)) from error
    try:
        servers = TypeAdapter(tuple[ServerSettings, ...]).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ServerFileUnreadable(path, f"{first['msg']} at {place or 'its top'}") from error
    names = [server.name for server in servers]
    if len(set(names)) < len(names) or any("/" in name or not name for name in names):
        raise ServerFileUnreadable(path, "each server needs a name of its own, without a slash")
    return servers
