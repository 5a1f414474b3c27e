"""Programs that people use as assistants, on a home of their own, with a model on the loopback.

Each gets the server from the file that `kiln-mcp install` writes, and the scripted model as its
provider. None needs an account, and none reaches anything but the loopback for its work.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiln_mcp.doors.clients.client_files import ClientFile, Launch, client_files
from kiln_mcp.doors.clients.registration import plan_entry

REQUEST: Final = "Build a spec and run an eval."
MODEL: Final = "scripted"


@dataclass(frozen=True, slots=True)
class Program:
    """An assistant in a terminal.

    Attributes:
        package: The npm package.
        command: The name of its command.
        arguments: For one request without a person.
        variables: Its environment, by the address of the model.
        settings: Name and content of its settings below the home, by the address of the model.
        file: The file that the server is registered in.
        is_script: Whether Node runs it.
    """

    package: str
    command: str
    arguments: tuple[str, ...]
    variables: Callable[[str], Mapping[str, str]]
    settings: Callable[[str], tuple[str, str]]
    file: Callable[[Mapping[str, ClientFile], Path], ClientFile]
    is_script: bool = False

    def prepare(self, home: Path, address: str, launch: Launch) -> None:
        """Write its settings, and register the server."""
        name, content = self.settings(address)
        place = home / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
        plan_entry(self.file(client_files(home, {}, "linux"), home), launch).write()

    def line(self, packages: Path, node: str) -> list[str]:
        """Return the command line; `packages` holds `node_modules`."""
        program = str(packages / "node_modules" / ".bin" / self.command)
        return [*([node] if self.is_script else []), program, *self.arguments]

    def environment(self, home: Path, address: str, node: str) -> dict[str, str]:
        """Return the environment: a home of its own, and nothing of ours."""
        path = f"{Path(node).parent}:{os.environ['PATH']}"
        return {"HOME": str(home), "PATH": path, "NO_COLOR": "1", **self.variables(address)}


def _opencode_settings(address: str) -> tuple[str, str]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{address}/v1", "apiKey": "none"},
        "models": {MODEL: {"name": MODEL, "limit": {"context": 200_000, "output": 8_000}}},
    }
    content = {
        "provider": {MODEL: provider},
        "model": f"{MODEL}/{MODEL}",
        "small_model": f"{MODEL}/{MODEL}",
        "autoupdate": False,
        "share": "disabled",
    }
    return ".config/opencode/opencode.json", json.dumps(content)


def _gemini_settings(address: str) -> tuple[str, str]:
    content = {
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
    }
    return ".gemini/settings.json", json.dumps(content)


def _codex_settings(address: str) -> tuple[str, str]:
    lines = [
        f'model = "{MODEL}"',
        f'model_provider = "{MODEL}"',
        f"[model_providers.{MODEL}]",
        f'name = "{MODEL}"',
        f'base_url = "{address}/v1"',
        'wire_api = "responses"',
    ]
    return ".codex/config.toml", "\n".join(lines) + "\n"


def _named(name: str) -> Callable[[Mapping[str, ClientFile], Path], ClientFile]:
    return lambda files, _: files[name]


def _qwen_file(files: Mapping[str, ClientFile], home: Path) -> ClientFile:
    """Return qwen-code's file, in the form of the Gemini CLI, which it began as."""
    gemini = files["gemini"]
    return ClientFile(
        "qwen", "qwen-code", home / ".qwen" / "settings.json", gemini.parents, "$NAME", ""
    )


PROGRAMS: Final[Mapping[str, Program]] = {
    "opencode": Program(
        "opencode-ai",
        "opencode",
        ("run", REQUEST),
        lambda _: {
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        },
        _opencode_settings,
        _named("opencode"),
    ),
    "qwen": Program(
        "@qwen-code/qwen-code",
        "qwen",
        ("--yolo", "--auth-type", "openai", "--model", MODEL, REQUEST),
        lambda address: {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{address}/v1"},
        lambda _: (".qwen/settings.json", '{"privacy": {"usageStatisticsEnabled": false}}'),
        _qwen_file,
        is_script=True,
    ),
    "gemini": Program(
        "@google/gemini-cli",
        "gemini",
        ("--yolo", "--model", "gemini-2.5-flash", "--prompt", REQUEST),
        lambda address: {
            "GEMINI_API_KEY": "none",
            "GOOGLE_GEMINI_BASE_URL": address,
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
        },
        _gemini_settings,
        _named("gemini"),
        is_script=True,
    ),
    "codex": Program(
        "@openai/codex",
        "codex",
        ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", REQUEST),
        lambda _: {},
        _codex_settings,
        _named("codex"),
    ),
    "claude-code": Program(
        "@anthropic-ai/claude-code",
        "claude",
        ("--print", "--allowedTools", "mcp__kiln", "--", REQUEST),
        lambda address: {
            "ANTHROPIC_API_KEY": "none",
            "ANTHROPIC_BASE_URL": address,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
        },
        lambda _: (".claude/settings.json", "{}"),
        _named("claude-code"),
    ),
}
