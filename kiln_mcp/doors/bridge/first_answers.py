"""The answers that every client asks for first, from a file: they are the same in every home."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from kiln_mcp import __version__
from kiln_mcp.doors.border.extensions import CAPABILITIES, EVALUATORS, may_be_installed
from kiln_mcp.doors.border.tool_choice import DEFAULT, DEFAULT_CHOICE, TOOLSET_META, ToolChoice
from kiln_mcp.doors.bridge.envelope import VERSION_KEY
from kiln_mcp.doors.lines import Body, part_of

FILE: Final = Path(__file__).with_name("first_answers.json")
"""Generated from the server, and compared with it by a test."""
_CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
_ABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"


class FirstAnswers(NamedTuple):
    """The results of `initialize`, `server/discover` and `tools/list`.

    Attributes:
        initialize: The result of the handshake of the legacy era, without the protocol's version.
        versions: The versions of the legacy era, the newest last.
        discover: The result of `server/discover`.
        modern_list: The result of `tools/list` in the modern era, without the tools.
        tools: The tools that the client is shown, the same in both eras; None if the server has to
            list them.
    """

    initialize: Body
    versions: tuple[str, ...]
    discover: Body
    modern_list: Body
    tools: list[Body] | None

    def handshake_version(self, message: Body) -> str | None:
        """Return the version that the server agrees to; None if this is no usable handshake."""
        params = part_of(message, "params")
        version = params.get("protocolVersion")
        is_usable = isinstance(version, str) and _is_client(params.get("clientInfo"))
        if message.get("method") != "initialize" or not is_usable:
            return None
        if not isinstance(params.get("capabilities"), dict):
            return None
        return version if version in self.versions else self.versions[-1]

    def result_for(self, message: Body, *, has_session: bool) -> Body | None:
        """Return the result of a request; None if the server itself has to answer it.

        Args:
            message: The request.
            has_session: Whether the client has begun a session of the legacy era.
        """
        version = self.handshake_version(message)
        if version is not None:
            return {**self.initialize, "protocolVersion": version}
        params = part_of(message, "params")
        if params.keys() - {"_meta"}:
            return None
        is_modern = self._is_modern(part_of(params, "_meta"))
        match message.get("method"):
            case "server/discover" if is_modern:
                return self.discover
            case "tools/list" if self.tools is None:
                return None
            case "tools/list" if is_modern:
                return {**self.modern_list, "tools": self.tools}
            case "tools/list" if has_session and VERSION_KEY not in part_of(params, "_meta"):
                return {"tools": self.tools}
            case _:
                return None

    def _is_modern(self, meta: Body) -> bool:
        return (
            meta.get(VERSION_KEY) in self.discover["supportedVersions"]
            and _is_client(meta.get(_CLIENT_KEY))
            and isinstance(meta.get(_ABILITIES_KEY), dict)
        )


def _shown_tools(tools: Iterable[Body], choice: ToolChoice) -> list[Body] | None:
    """Return the tools of the file that a client is shown; None if it wants more than they have."""
    if choice.output_schemas:
        return None
    return [tool for tool in tools if choice.shows(_toolset_of(tool))]


def _toolset_of(tool: Body) -> str:
    return str(part_of(tool, "_meta").get(TOOLSET_META, DEFAULT))


def _is_client(info: object) -> bool:
    parts = part_of({"info": info}, "info")
    return isinstance(parts.get("name"), str) and isinstance(parts.get("version"), str)


def load_first_answers(
    folders: Iterable[str], choice: ToolChoice = DEFAULT_CHOICE, file: Path = FILE
) -> FirstAnswers | None:
    """Return the answers of this version; None if an extension may add to them.

    Args:
        folders: The folders with distributions.
        choice: What the client is shown of the tools.
        file: The file with the answers.
    """
    if may_be_installed(folders, (CAPABILITIES, EVALUATORS)):
        return None
    try:
        content: Body = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    if part_of(part_of(content, "initialize"), "serverInfo").get("version") != __version__:
        return None
    return FirstAnswers(
        content["initialize"],
        tuple(content["versions"]),
        content["discover"],
        content["modern_list"],
        _shown_tools(content["tools"], choice),
    )
