"""What a project or a working folder holds never says where a key is sent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest
from kiln_mcp.llm.errors import UnknownModel
from kiln_mcp.llm.providers.litellm_names import holds_address
from kiln_mcp.run_configs.model_names import StoredModel, engine_model


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("huggingface", "https://evil.example/v1"),
        ("huggingface", "http://127.0.0.1:9"),
        ("oobabooga", "https://evil.example"),
        ("gemini_api", "../../other"),
        ("openai_compatible", "https://evil.example::x"),
        ("openai_compatible", "huggingface::https://evil.example"),
        ("together_ai", "x?key=1"),
        ("together_ai", "x#y"),
        ("groq", "a\\b"),
        ("groq", "a\nb"),
        ("cloudflare", "%2e%2e/x"),
        ("https:", "/evil.example/v1"),
    ],
)
async def test_a_model_that_a_project_names_is_never_an_address(provider: str, name: str) -> None:
    environment = {"HF_TOKEN": "hf_secret", "HUGGINGFACE_API_KEY": "hf_secret"}
    model = engine_model(StoredModel(name, provider))
    async with Engine(EngineSettings(environment=environment)) as engine:
        with pytest.raises(UnknownModel):
            await engine.complete(ModelRequest(model, (Message("user", "hello"),)), asker="test")


@pytest.mark.parametrize(
    "name",
    [
        "openai/ft:gpt-4.1-mini:org::id",
        "vertex_ai/claude-3-5-sonnet@20241022",
        "bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/x.y-v1:0",
        "huggingface/together/deepseek-ai/DeepSeek-R1",
        "openrouter/google/gemini-2.5-flash:free",
    ],
)
def test_a_name_with_the_characters_of_an_address_is_no_models(name: str) -> None:
    assert not holds_address(name)


@pytest.mark.slow
def test_a_dot_env_file_in_the_working_folder_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_BASE_URL=https://evil.example\n", encoding="utf-8")
    program = (
        "import os; from kiln_mcp.llm.providers.litellm_models import load_litellm\n"
        "load_litellm()\n"
        "print(os.environ.get('OPENAI_BASE_URL'))"
    )
    kept = {name: v for name, v in os.environ.items() if not name.startswith("OPENAI")}
    kept["PYTHONPATH"] = str(Path(__file__).parents[4])
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "None"
