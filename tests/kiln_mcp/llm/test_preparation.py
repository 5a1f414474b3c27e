"""What a first request needs is imported before it, and only that."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, anyio
from kiln_mcp.llm import Engine, EngineSettings, ServerSettings

async def prepare(names):
    servers = (ServerSettings("own", "http://127.0.0.1:9/v1"),)
    async with Engine(EngineSettings(environment={}, servers=servers)) as engine:
        for name in names:
            await engine.prepare(name)

anyio.run(prepare, sys.argv[1:])
print("litellm" in sys.modules)
"""


def prepares_litellm(*names: str) -> bool:
    command = [sys.executable, "-c", PROGRAM, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip() == "True"


def test_a_server_of_ones_own_or_a_name_without_a_model_needs_no_litellm() -> None:
    assert not prepares_litellm("own/m", "embedded", "nothing")


@pytest.mark.slow
def test_a_hosted_model_has_litellm_before_its_first_request() -> None:
    assert prepares_litellm("openai/gpt-4.1")
