import pytest

from kiln_mcp.run_configs.model_names import StoredModel, engine_model, stored_model


@pytest.mark.parametrize(
    "name",
    [
        "embedded",
        "scripted",
        "host",
        "openai/gpt-4.1-mini",
        "anthropic/claude-sonnet-4-5",
        "openrouter/qwen/qwen3-8b",
        "my-server/some-model",
        "gemini/gemini-2.5-pro",
    ],
)
def test_a_model_that_is_written_to_a_file_is_the_same_when_read(name: str) -> None:
    assert engine_model(stored_model(name)) == name


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (StoredModel("gpt_4_1_mini", "openai"), "openai/gpt-4.1-mini"),
        (StoredModel("gpt_4o", "openai"), "openai/gpt-4o"),
        (StoredModel("gemini_2_5_pro", "gemini_api"), "gemini/gemini-2.5-pro"),
        (StoredModel("gpt_4_1", "openrouter"), "openrouter/openai/gpt-4.1"),
        (StoredModel("claude_sonnet_4", "anthropic"), "anthropic/claude-sonnet-4"),
        (StoredModel("house::llama-3", "openai_compatible"), "house/llama-3"),
    ],
)
def test_kilns_own_names_become_those_of_the_makers(stored: StoredModel, expected: str) -> None:
    assert engine_model(stored) == expected


def test_what_kiln_has_no_provider_for_is_written_so_that_kiln_can_open_it() -> None:
    assert stored_model("embedded") == StoredModel("embedded", "openai_compatible")
    assert stored_model("box/m") == StoredModel("box::m", "openai_compatible")
