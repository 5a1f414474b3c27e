"""What the parts of a prompt earn, by leaving them out."""

import json
from pathlib import Path

import pytest

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.evolution.ablation import blocks_of, sentences_of
from kiln_mcp.evolution.engine import Candidate
from kiln_mcp.evolution.explanation_answers import PromptExplanation
from kiln_mcp.evolution.service import explain_prompt
from kiln_mcp.llm import ModelRequest
from kiln_mcp.run_configs import service as run_configs_service
from search_bench import Bench, constant, open_search_bench
from storage.errors import InvalidValue, Refusal

PROMPT = "Do it. Then double it. Be kind.\n\n- Never say more."


def half_by_rule(request: ModelRequest) -> str:
    """Double the number when told so, unless kindness spoils it."""
    number, system = int(request.messages[-1].content), request.messages[0].content
    is_spoilt = "kind" in system and number % 2
    return json.dumps({"n": number * 2 if "double" in system and not is_spoilt else number})


async def explanation_of(bench: Bench, **arguments: object) -> PromptExplanation:
    call = {"project": str(bench.store.folder), "eval": "Right", "run_config": "start"}
    values = json.loads(json.dumps({**call, **arguments}))
    answer = await explain_prompt.invoke(bench.workspace, values)
    assert isinstance(answer, PromptExplanation)
    return answer


async def test_each_sentence_is_said_to_earn_to_harm_or_not_to_be_told(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, half_by_rule, prompt=PROMPT) as bench:
        answer = await explanation_of(bench, markdown=True)
        says = {row.part: row.says for row in answer.parts}
        assert says == {
            "Then double it.": "earns",
            "Be kind.": "harms",
            "Do it.": "cannot be told",
            "- Never say more.": "cannot be told",
        }
        assert all(row.low is None or row.low <= row.earns for row in answer.parts)
        assert answer.parts[0].part == "Then double it."
        assert "| Then double it. |" in answer.content.replace("earns | ", "| ")


async def test_few_calls_leave_out_whole_blocks_and_never_pass_the_limit(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, half_by_rule, prompt=PROMPT) as bench:
        answer = await explanation_of(bench, max_calls=30)
        assert {row.kind for row in answer.parts} == {"block"}
        assert len(bench.model.requests) <= answer.calls <= 30
        with pytest.raises(InvalidValue, match="2 parts on 8 items each take 24 calls"):
            await explanation_of(bench, max_calls=20)


async def test_no_held_out_item_is_used(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, half_by_rule, prompt=PROMPT) as bench:
        await explanation_of(bench)
        asked = {int(request.messages[-1].content) for request in bench.model.requests}
        assert max(asked) < 200


async def test_a_prompt_of_one_part_has_nothing_to_tell_apart(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, constant, prompt="Do it.") as bench:
        with pytest.raises(Refusal, match="only one part"):
            await explanation_of(bench)


async def test_a_prompt_that_costs_money_is_planned_first(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, constant) as bench:
        arguments = {"name": "dear", "model": "fireworks_ai/some-model", "prompt": PROMPT}
        project = {"project": str(bench.store.folder)}
        await run_configs_service.create_run_config.invoke(
            bench.workspace, {**project, **arguments}
        )
        with pytest.raises(MissingApproval, match="Leave out each of 4 parts"):
            await explanation_of(bench, run_config="dear")


def test_parts_with_placeholders_stay() -> None:
    candidate = Candidate.of("Answer {{question}}. Be short.\n\n- One entry.")
    assert [part.text for part in sentences_of(candidate)] == ["Be short.", "- One entry."]
    assert [part.text for part in blocks_of(candidate)] == ["- One entry."]
    assert sentences_of(candidate)[0].rest.text == "Answer {{question}}.\n\n- One entry."
