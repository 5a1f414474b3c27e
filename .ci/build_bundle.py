"""Write the folder of an MCP bundle: a manifest, our wheel, and a program that starts the server.

    python .ci/build_bundle.py dist/kiln_mcp_server-0.1.0-py3-none-any.whl build/bundle
    npx @anthropic-ai/mcpb pack build/bundle kiln-mcp.mcpb

The client runs it with uv, which installs what the wheel needs for the person's machine. The tools
are those that the server lists by itself.
"""

import asyncio
import json
import re
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

from mcp import Client, StdioServerParameters

ROOT = Path(__file__).parents[1]
KEYS = {"OPENAI_API_KEY": "OpenAI", "ANTHROPIC_API_KEY": "Anthropic", "GEMINI_API_KEY": "Gemini"}
PROGRAM = """\
import sys

from kiln_mcp.doors.bridge import main

if __name__ == "__main__":
    sys.exit(main())
"""
PROJECT = """\
[project]
name = "kiln-mcp-bundle"
version = "{version}"
requires-python = "{python}"
dependencies = ["{name}"]

[tool.uv]
package = false

[tool.uv.sources]
{name} = {{ path = "{wheel}" }}
"""


async def list_tools() -> list[dict[str, str]]:
    """Return name and first sentence of each tool, as a client gets them."""
    with tempfile.TemporaryDirectory() as home:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-c", PROGRAM],
            env={"KILN_MCP_HOME": home, "KILN_MCP_DAEMON": "off", "PYTHONPATH": str(ROOT)},
        )
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
    return [
        {"name": tool.name, "description": first_sentence(tool.description or "")} for tool in tools
    ]


def first_sentence(text: str) -> str:
    """Return the first sentence of a tool's description, on one line."""
    return re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]


def manifest(project: dict, tools: list[dict[str, str]]) -> dict:
    """Return the manifest; what a person may leave empty is empty, and counts as not set."""
    variables = {name.lower(): name for name in KEYS}
    settings = {
        "model": {
            "type": "string",
            "title": "Model",
            "description": "The model of calls that name none. 'host' is this assistant itself.",
            "default": "host",
            "required": False,
        },
        **{
            field: {
                "type": "string",
                "title": f"{KEYS[name]} API key",
                "description": f"Only for models of {KEYS[name]}. It may also lie in the keyring.",
                "default": "",
                "sensitive": True,
                "required": False,
            }
            for field, name in variables.items()
        },
    }
    return {
        "manifest_version": "0.4",
        "name": project["name"],
        "display_name": "Kiln workbench",
        "version": project["version"],
        "description": project["description"].split(". ")[0],
        "long_description": (ROOT / "README.md").read_text("utf-8").split("\n\n")[1],
        "author": {"name": "The contributors of kiln-mcp-server"},
        "license": project["license"],
        "keywords": project["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "server/main.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--project", "${__dirname}", "${__dirname}/server/main.py"],
                "env": {
                    "KILN_MCP_MODEL": "${user_config.model}",
                    **{name: f"${{user_config.{field}}}" for field, name in variables.items()},
                },
            },
        },
        "tools": tools,
        "tools_generated": True,
        "prompts_generated": True,
        "compatibility": {
            "platforms": ["darwin", "win32", "linux"],
            "runtimes": {"python": project["requires-python"]},
        },
        "user_config": settings,
    }


def main() -> None:
    """Write the folder that the arguments name."""
    wheel, folder = map(Path, sys.argv[1:])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (folder / "server").mkdir(parents=True, exist_ok=True)
    shutil.copy(wheel, folder)
    text = PROJECT.format(
        name=project["name"],
        version=project["version"],
        python=project["requires-python"],
        wheel=wheel.name,
    )
    content = manifest(project, asyncio.run(list_tools()))
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    (folder / "server" / "main.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "manifest.json").write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
