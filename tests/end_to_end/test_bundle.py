"""The MCP bundle, checked and packed by the official tool, and started as a client starts it."""

import json
import os
import shlex
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
from mcp import Client, StdioServerParameters
from pydantic import JsonValue

from person_home import environment_of, stop_daemon

pytestmark = [pytest.mark.mcpb, pytest.mark.timeout(180)]
CREATE_PROJECT: Final = "create_project"
RESOLVE: Final = """
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb";
import fs from "fs";
const [extensionPath, userConfig] = process.argv.slice(1);
const manifest = JSON.parse(fs.readFileSync(`${extensionPath}/manifest.json`));
const how = { manifest, extensionPath, systemDirs: {}, pathSeparator: "/" };
how.userConfig = JSON.parse(userConfig);
console.log(JSON.stringify(await getMcpConfigForManifest(how)));
"""
"""What Claude Desktop does with a manifest before it starts the server."""


def bundler(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*shlex.split(os.environ["MCPB"]), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def configuration(extension: Path, settings: dict[str, str]) -> dict[str, JsonValue]:
    node, packer = shlex.split(os.environ["MCPB"])
    done = subprocess.run(
        [node, "--input-type=module", "-e", RESOLVE, str(extension), json.dumps(settings)],
        cwd=Path(packer).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module", name="extension")
def unpacked_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    packed = bundler("pack", os.environ["MCPB_FOLDER"], folder / "kiln.mcpb")
    assert packed.returncode == 0, packed.stdout + packed.stderr
    assert (folder / "kiln.mcpb").stat().st_size < 5_000_000
    unpacked = bundler("unpack", folder / "kiln.mcpb", folder / "extension")
    assert unpacked.returncode == 0, unpacked.stdout + unpacked.stderr
    return folder / "extension"


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    yield tmp_path
    stop_daemon(tmp_path)


def test_the_official_tool_accepts_the_manifest() -> None:
    checked = bundler("validate", os.environ["MCPB_FOLDER"])
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "ERROR" not in checked.stdout


def test_a_key_is_secret_and_one_that_is_not_given_is_empty(extension: Path) -> None:
    settings = json.loads((extension / "manifest.json").read_text("utf-8"))["user_config"]
    assert {name for name in settings if name.endswith("_key")} == {
        name for name, setting in settings.items() if setting.get("sensitive")
    }
    variables = configuration(extension, {"openai_api_key": "sk-canary"})["env"]
    assert isinstance(variables, dict)
    assert variables["OPENAI_API_KEY"] == "sk-canary"
    assert variables["ANTHROPIC_API_KEY"] == ""


async def test_the_bundle_starts_and_offers_the_tools_that_its_manifest_names(
    extension: Path, home: Path
) -> None:
    launch = configuration(extension, {})
    command, args, variables = launch["command"], launch["args"], launch["env"]
    assert isinstance(command, str)
    assert isinstance(args, list)
    assert isinstance(variables, dict)
    others = {name: str(value) for name, value in variables.items()}
    others |= {"UV_OFFLINE": "1", "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", "")}
    server = StdioServerParameters(
        command=command, args=[str(arg) for arg in args], env=environment_of(home, **others)
    )
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        answer = await client.call_tool(
            CREATE_PROJECT, {"name": "Support", "folder": str(home / "support")}
        )
    manifest = json.loads((extension / "manifest.json").read_text("utf-8"))
    assert [tool["name"] for tool in manifest["tools"]] == [tool.name for tool in tools]
    assert all(tool["description"] for tool in manifest["tools"])
    assert not answer.is_error
    assert (home / "support" / "project.kiln").exists()
