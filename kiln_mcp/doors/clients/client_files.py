"""Where each client keeps its list of servers, and how an entry looks there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from storage.errors import InvalidValue
from storage.text.suggestions import did_you_mean

SERVER: Final = "kiln"
"""The name of our entry in every client."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a client starts the server.

    Attributes:
        command: The program.
        args: Its arguments.
        settings: Variables with their values. They hold no secrets.
        keys: The names of variables that hold secrets; their values are never written.
    """

    command: str
    args: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientFile:
    """The configuration file of one client.

    Attributes:
        name: What people type.
        title: The client's own name.
        path: The file.
        is_toml: Whether it is TOML; else JSON, possibly with comments.
        parents: The keys above the entry.
        reference: How the file names a variable of the environment, with `NAME` in it; empty if
            the client cannot.
        restart: What makes the client read the file.
    """

    name: str
    title: str
    path: Path
    parents: tuple[str, ...]
    reference: str
    restart: str
    is_toml: bool = False

    def entry(self, launch: Launch) -> dict[str, JsonValue]:
        """Return our entry in this client's form."""
        settings: dict[str, JsonValue] = dict(launch.settings)
        references: dict[str, JsonValue] = {
            name: self.reference.replace("NAME", name) for name in launch.keys if self.reference
        }
        args: list[JsonValue] = [*launch.args]
        entry: dict[str, JsonValue] = {"command": launch.command, "args": args}
        match self.name:
            case "opencode":
                entry = {"type": "local", "command": [launch.command, *args], "enabled": True}
                variables: dict[str, JsonValue] = {"environment": {**settings, **references}}
            case "codex":
                variables = {"env": settings, "env_vars": [*launch.keys]}
            case "claude-code":
                # It then waits for our tools: else its first request goes out without them.
                entry = {"type": "stdio", **entry, "alwaysLoad": True}
                variables = {"env": {**settings, **references}}
            case "vscode":
                entry = {"type": "stdio", **entry}
                variables = {"env": {**settings, **references}}
            case _:
                variables = {"env": {**settings, **references}}
        return {**entry, **{name: value for name, value in variables.items() if value}}


_USUAL: Final = ("mcpServers",)
_START: Final = "Start it again."
_CLIENTS: Final = (
    ClientFile(
        "claude-desktop",
        "Claude Desktop",
        Path("programs/Claude/claude_desktop_config.json"),
        _USUAL,
        "",
        "Quit Claude Desktop and open it again.",
    ),
    ClientFile(
        "claude-code", "Claude Code", Path("claude-code/.claude.json"), _USUAL, "${NAME}", _START
    ),
    ClientFile(
        "vscode",
        "VS Code",
        Path("programs/Code/User/mcp.json"),
        ("servers",),
        "${env:NAME}",
        "VS Code asks whether you trust the server when it is used first.",
    ),
    ClientFile("cursor", "Cursor", Path("home/.cursor/mcp.json"), _USUAL, "${env:NAME}", _START),
    ClientFile("zed", "Zed", Path("zed/settings.json"), ("context_servers",), "", _START),
    ClientFile(
        "codex", "Codex", Path("codex/config.toml"), ("mcp_servers",), "NAME", _START, is_toml=True
    ),
    ClientFile("gemini", "Gemini CLI", Path("home/.gemini/settings.json"), _USUAL, "$NAME", _START),
    ClientFile(
        "opencode",
        "opencode",
        Path("config/opencode/opencode.json"),
        ("mcp",),
        "{env:NAME}",
        _START,
    ),
    ClientFile(
        "windsurf",
        "Windsurf",
        Path("home/.codeium/windsurf/mcp_config.json"),
        _USUAL,
        "${env:NAME}",
        _START,
    ),
)
"""Every client; a path begins with the name of a folder of `_folders`."""


def client_files(
    home: Path, environment: Mapping[str, str], platform: str
) -> Mapping[str, ClientFile]:
    """Return the file of each client that is known, by its name.

    Args:
        home: The person's home folder.
        environment: The environment; some clients let it name their folder.
        platform: As `sys.platform`.
    """
    folders = _folders(home, environment, platform)
    return {
        client.name: replace(client, path=folders[folder].joinpath(*parts))
        for client in _CLIENTS
        for folder, *parts in [client.path.parts]
    }


def _folders(home: Path, environment: Mapping[str, str], platform: str) -> Mapping[str, Path]:
    """Return the folders that clients keep their files in, by the names of `_CLIENTS`."""
    config = Path(environment.get("XDG_CONFIG_HOME", "").strip() or home / ".config")
    match platform:
        case "darwin":
            programs = home / "Library" / "Application Support"
        case "win32":
            programs = Path(environment.get("APPDATA") or home / "AppData" / "Roaming")
        case _:
            programs = config
    return {
        "home": home,
        "config": config,
        "programs": programs,
        "zed": programs / "Zed" if platform == "win32" else config / "zed",
        "codex": Path(environment.get("CODEX_HOME") or home / ".codex"),
        "claude-code": Path(environment.get("CLAUDE_CONFIG_DIR") or home),
    }


def find_client(files: Mapping[str, ClientFile], name: str) -> ClientFile:
    """Return the file of a client by its name.

    Raises:
        InvalidValue: No client has this name.
    """
    client = files.get(name.strip().lower().replace("_", "-").replace(" ", "-"))
    if client is None:
        raise InvalidValue(
            "There is no client '{name}'.{near} There are: {clients}. For another one, add the "
            "command of this program to its list of MCP servers.",
            name=name,
            near=did_you_mean(name, files),
            clients=", ".join(files),
        )
    return client
