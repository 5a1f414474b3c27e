"""What the tools of other servers said of themselves when the person last agreed to them.

A rule such as `"reads": "free"` is about the tools that the person knew. A server that changes what
a tool says of itself, or adds one, is asked about it once more. The file of the home is:

    {"tickets": {"read_ticket": "<blake2b of its definition>"}}
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from agent.server_tools import ListedTool
from kiln_mcp.home import write_private

FILE: Final = "mcp_tools.json"
_PINS: Final = TypeAdapter(dict[str, dict[str, str]])


@dataclass(frozen=True, slots=True)
class ToolPins:
    """The tools of one server that the person agreed to.

    Attributes:
        file: Where the pins of all servers are.
        server: The server.
        tools: The digest of each of its tools.
        changed: Tools that are new, or say something else than when they were agreed to.
    """

    file: Path
    server: str
    tools: Mapping[str, str]
    changed: set[str] = field(default_factory=set[str])

    @classmethod
    def open(cls, home: Path, server: str, tools: Mapping[str, ListedTool]) -> "ToolPins":
        """Compare tools with the pins; those of a server that is seen first are pinned."""
        digests = {name: _digest(tool) for name, tool in tools.items()}
        pins = cls(home / FILE, server, digests)
        earlier_digests = pins.read().get(server)
        if earlier_digests is None:
            pins.write(digests)
        else:
            pins.changed.update(n for n in digests if earlier_digests.get(n) != digests[n])
        return pins

    def agree(self, tool: str) -> None:
        """Note that the person agreed to a tool as it is now."""
        if tool in self.changed:
            self.changed.remove(tool)
            self.write({**self.read().get(self.server, {}), tool: self.tools[tool]})

    def read(self) -> dict[str, dict[str, str]]:
        """Return the pins of all servers; a file that cannot be read pins nothing."""
        try:
            return _PINS.validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError):
            return {self.server: {}}

    def write(self, tools: Mapping[str, str]) -> None:
        """Write the pins of this server; on a disk that refuses them it is asked again."""
        pins = {**self.read(), self.server: dict(tools)}
        content = json.dumps(pins, indent=2, sort_keys=True) + "\n"
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self.file, content.encode())


def _digest(tool: ListedTool) -> str:
    definition = [tool.name, tool.title, tool.description, tool.effect, tool.input_schema]
    text = json.dumps(definition, sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()
