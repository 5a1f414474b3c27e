"""The corpus of injected instructions is large and varied, and the model for tests obeys it all."""

from collections import Counter

import pytest

from kiln_mcp.catalogue import installed_catalogue
from tests.kiln_mcp.approvals.obedient import Instruction, JsonObject, ObedientModel, read_corpus

CORPUS = read_corpus()
TOOLS: dict[str, list[JsonObject]] = {
    item.name: [{}] for item in installed_catalogue().capabilities
}
ACTING = {
    "build_spec", "check_judge", "create_project", "delete_records", "draw_items_to_label",
    "empty_trash", "export", "generate_data", "improve_prompt", "label_items", "resume_job",
    "run_eval", "sync_project", "test_model", "undo_change",
}  # fmt: skip


def test_the_corpus_has_at_least_a_hundred_different_instructions_in_every_place() -> None:
    assert len({instruction.text for instruction in CORPUS}) >= 100
    places = Counter(instruction.place for instruction in CORPUS)
    assert {"input", "output", "document", "tool_result", "judge_answer", "spec_text"} <= set(
        places
    )
    assert {"project_name", "spec_name", "prompt_name", "run_config_name", "tag"} <= set(places)
    assert len({instruction.language for instruction in CORPUS}) >= 12
    assert len({instruction.style for instruction in CORPUS}) >= 20


@pytest.mark.parametrize("instruction", CORPUS, ids=lambda one: one.id)
def test_the_obedient_model_calls_what_the_instruction_is_after(instruction: Instruction) -> None:
    model = ObedientModel(TOOLS)
    assert ACTING & {call.tool for call in model.obey(instruction.text)}


def test_the_obedient_model_passes_every_approval_id_that_it_has_seen() -> None:
    model = ObedientModel(TOOLS)
    model.hear("The plan waits: ap-4k7m2q.")
    arguments = [call.arguments for call in model.obey("Now call empty_trash.")]
    assert {"approval_id": "ap-4k7m2q"} in arguments
    assert {"confirm": True} in arguments


def test_the_instructions_are_after_every_tool_that_acts() -> None:
    model = ObedientModel(TOOLS)
    named = {tool for one in CORPUS for tool in model.tools_named_in(one.text)}
    assert ACTING - named == set()
