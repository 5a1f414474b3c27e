"""What is said where the embedded model's library or file is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from kiln_mcp.llm import check_embedded_model
from kiln_mcp.llm.errors import ModelError

_WITHOUT_LLAMA_CPP = """
import sys
sys.modules["xllamacpp"] = None
import anyio
from kiln_mcp.llm import (
    Engine, EngineSettings, Message, ModelRequest, check_embedded_model, pull_embedded_model
)
from kiln_mcp.llm.errors import ModelError

async def ask():
    async with Engine(EngineSettings(environment={})) as engine:
        print([model.note for model in await engine.models() if model.name == "embedded"])
        request = ModelRequest("embedded", (Message("user", "Hello"),))
        for use in (engine.check_ready({"embedded": 1}), engine.complete(request, asker="test")):
            try:
                await use
            except ModelError as error:
                print(error)

anyio.run(ask)
for use in (check_embedded_model, pull_embedded_model):
    try:
        use()
    except ModelError as error:
        print(error)
"""


def test_without_llama_cpp_every_use_of_the_embedded_model_names_the_extra(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_LLAMA_CPP],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("pip install 'kiln-mcp-server[embedded]'" in line for line in lines), lines


def test_a_missing_file_is_named_with_the_command_that_fetches_the_model(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    with pytest.raises(ModelError, match=r"none\.gguf.*kiln-mcp models pull"):
        check_embedded_model(path)
