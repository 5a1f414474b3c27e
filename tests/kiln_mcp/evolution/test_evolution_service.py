"""The capability, driven as every door drives it, with scripted models."""

import json
import re
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.evals import service as evals
from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.evals.results.config_scores import ConfigScores
from kiln_mcp.evals.results.part_uses import UseNumber
from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.evolution.engine import Evaluation, Result
from kiln_mcp.evolution.engine import Item as EngineItem
from kiln_mcp.evolution.engine.race import BUDGET_ENDED
from kiln_mcp.evolution.held_out import HeldOut
from kiln_mcp.evolution.outcomes import Outcome, answer_of
from kiln_mcp.evolution.search_context import SearchContext, SearchRequest, prepare
from kiln_mcp.evolution.trials import engine_items
from kiln_mcp.evolution.winner import GENERATOR, make_winner
from kiln_mcp.llm import BudgetLimit, Engine, EngineSettings, ModelAnswer, ModelRequest
from kiln_mcp.llm.errors import ContextOverflow, RejectedRequest
from kiln_mcp.programs.errors import ProgramFailure
from kiln_mcp.run_configs import service as run_configs_service
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.statistics import Interval
from scripted_model import ScriptedModel
from search_bench import (
    PARTS,
    TEST_START,
    Bench,
    by_demonstrations,
    by_demonstrations_before_test,
    by_instruction,
    by_turn,
    constant,
    edits_of_no_block,
    open_search_bench,
    without_prompt,
)
from storage import Prompt
from storage import TaskRunConfig as RunConfig
from storage.errors import Refusal


async def search_context_of(bench: Bench, max_calls: int) -> SearchContext:
    eval_context = await load_measurement(bench.store, await find_eval(bench.store, "Right"), None)
    return await prepare(bench.workspace, eval_context, SearchRequest("start", max_calls, 0, None))


async def test_demonstrations_that_help_are_found_saved_and_measured(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        answer = await bench.evolve(max_calls=100, seed=1)
        assert answer.gain_shown
        row = answer.comparison[0]
        assert (row.first, row.second, row.n) == (0.0, 1.0, 60)
        assert answer.search_calls <= 100
        (prompt,) = await bench.store.children(bench.task, Prompt)
        assert (prompt.id, prompt.generator_id) == (answer.prompt_id, GENERATOR)
        assert prompt.prompt == answer.winner_prompt
        assert answer.winner_prompt.startswith("Do it.")
        first, winner = await bench.store.children(bench.task, RunConfig)
        assert winner.name == answer.winner
        assert winner.prompt is not None
        assert (winner.prompt.prompt, winner.prompt.generator_id) == (prompt.prompt, GENERATOR)
        assert without_prompt(winner) == without_prompt(first)


async def test_the_search_takes_the_same_path_whatever_the_width(tmp_path: Path) -> None:
    paths: list[list[JsonValue]] = []
    async with open_search_bench(tmp_path, by_turn) as bench:
        for width in (1, 16):
            settings = EngineSettings(default_model="embedded", hosted_concurrency=width)
            async with Engine(settings, models={"small": ScriptedModel(by_turn)}) as engine:
                own = replace(bench, workspace=replace(bench.workspace, engine=engine))
                answer = await own.evolve(max_calls=60, seed=1)
            text = await anyio.Path(answer.search_log).read_text(encoding="utf-8")
            entries = [json.loads(line) for line in text.splitlines()]
            paths.append([entry | {"at": ""} for entry in entries if entry["event"] == "decision"])
    assert len(paths[0]) > 1
    assert paths[0] == paths[1]


async def test_a_search_that_begins_anew_after_a_kill_saves_one_winner_and_one_trace(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        engine = bench.workspace.engine
        engine = engine.within(await engine.budget("jobs/4711", BudgetLimit()))
        attempt = replace(bench, workspace=replace(bench.workspace, job="4711", engine=engine))
        first = await attempt.evolve(max_calls=100, seed=1)
        lines = await anyio.Path(first.search_log).read_text(encoding="utf-8")
        again = await attempt.evolve(max_calls=100, seed=1)
        assert (again.winner, again.prompt_id, again.search_log) == (
            first.winner,
            first.prompt_id,
            first.search_log,
        )
        assert len(await bench.store.children(bench.task, Prompt)) == 1
        assert len(await bench.store.children(bench.task, RunConfig)) == 2
        after = await anyio.Path(again.search_log).read_text(encoding="utf-8")
        assert (after.count("\n"), after.count('"event": "start"')) == (lines.count("\n"), 1)


async def test_no_gain_is_said_and_nothing_is_saved_where_nothing_helps(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, constant) as bench:
        answer = await bench.evolve(max_calls=60)
        assert answer.verdict.startswith("No gain could be shown: keep your prompt.")
        assert (answer.gain_shown, answer.winner, answer.comparison) == (False, None, [])
        assert answer.winner_prompt == answer.start_prompt
        assert await bench.store.children(bench.task, Prompt) == []


async def test_no_held_out_input_is_asked_or_shown_during_the_search(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, constant) as bench:
        await bench.evolve(max_calls=60)
        asked = {message.content for one in bench.model.requests for message in one.messages}
        assert not asked & {str(number) for number in PARTS["test"]}
        assert asked & {str(number) for number in PARTS["val"]}


async def test_every_decision_is_kept_beside_the_eval(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        answer = await bench.evolve(max_calls=100, seed=1)
        text = await anyio.Path(answer.search_log).read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        events = [line["event"] for line in lines]
        standings = events.count("standing")
        assert standings >= 2
        decisions = ["decision"] * answer.races
        ends = [*["standing"] * standings, "held_out", "result"]
        assert events == ["start", *decisions, *ends]
        assert lines[-2]["samples"] == [[0, 0]]
        assert lines[0]["seed"] == 1
        assert lines[-1]["verdict"] == answer.verdict
        assert Path(answer.search_log).is_relative_to(bench.store.folder)


async def decisions_of(report: EvolutionReport) -> list[dict[str, JsonValue]]:
    text = await anyio.Path(report.search_log).read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    told = ("proposal", "candidate", "onto", "accepted", "reason")
    return [{key: line[key] for key in told} for line in lines if line["event"] == "decision"]


async def test_a_second_search_with_the_same_seed_pays_nothing_twice_and_goes_on(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        first = await bench.evolve(max_calls=60, seed=4)
        asked = len(bench.model.requests)
        second = await bench.evolve(max_calls=60, seed=4)
        paths = [await decisions_of(report) for report in (first, second)]
        assert len(paths[1]) > len(paths[0]) > 0
        tried = [own for own in paths[0] if own["reason"] != BUDGET_ENDED]
        assert paths[1][: len(tried)] == tried
        assert second.search_calls <= 60
        paid = len(bench.model.requests) - asked
        assert paid == second.search_calls + second.held_out_calls
        assert first.winner != second.winner


async def test_the_same_seed_finds_the_same_prompt_in_a_project_with_other_ids(
    tmp_path: Path,
) -> None:
    prompts: list[str] = []
    for place in ("one", "two"):
        async with open_search_bench(tmp_path / place, by_demonstrations) as bench:
            prompts.append((await bench.evolve(max_calls=100, seed=4)).winner_prompt)
    assert prompts[0] == prompts[1]


async def test_a_capable_model_edits_the_instruction(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        answer = await bench.evolve(max_calls=120, seed=0, reflect_with="editor")
        assert answer.gain_shown
        assert "double it" in answer.winner_prompt
        assert "it is not doubled" in {race.change for race in answer.race_wins}


async def test_edits_that_cannot_be_used_do_not_end_the_search(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, constant, editor=edits_of_no_block) as bench:
        answer = await bench.evolve(max_calls=90, reflect_with="editor")
        assert (answer.winner, answer.race_wins) == (None, [])
        assert answer.search_calls <= 90


async def test_a_winner_that_gains_nothing_on_held_out_items_is_no_gain(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations_before_test) as bench:
        answer = await bench.evolve(max_calls=100, seed=1)
        assert (answer.winner, answer.prompt_id, answer.gain_shown) == (None, None, False)
        assert answer.winner_prompt != answer.start_prompt
        assert answer.verdict.startswith("No gain could be shown: keep your prompt. ")
        assert await bench.store.children(bench.task, Prompt) == []
        assert len(await bench.store.children(bench.task, RunConfig)) == 1
        assert [step.tool for step in answer.next] == ["add_data", "improve_prompt"]


async def test_a_search_that_costs_money_asks_before_it_does_anything(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        with pytest.raises(MissingApproval, match=r"60 held-out items"):
            await bench.evolve(reflect_with="fireworks_ai/some-model")
        assert bench.model.requests == []


async def test_missing_and_overlapping_parts_are_refused_with_the_next_step(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path / "a", constant, {**PARTS, "val": range(0)}) as bench:
        with pytest.raises(Refusal, match=r"no val items.*split_data"):
            await bench.evolve()
    async with open_search_bench(
        tmp_path / "b", constant, {**PARTS, "test": range(5, 70)}
    ) as bench:
        with pytest.raises(Refusal, match="7 inputs are in both train and test"):
            await bench.evolve()


async def test_a_model_that_cannot_be_reached_ends_the_search_with_its_own_sentence(
    tmp_path: Path,
) -> None:
    def down(request: ModelRequest) -> str:
        raise RejectedRequest(request.model, "it is closed today.")

    async with open_search_bench(tmp_path, down) as bench:
        with pytest.raises(RejectedRequest, match="closed today"):
            await bench.evolve(max_calls=60)
        assert await bench.store.children(bench.task, Prompt) == []


async def test_answers_that_are_not_complete_are_no_zeros_of_the_start(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> str | ModelAnswer:
        number = int(request.messages[-1].content)
        if len(request.messages) < 8 and number % 2 == 0:
            return ModelAnswer("", finish="refused")
        return json.dumps({"n": number * 2})

    async with open_search_bench(tmp_path, answer) as bench:
        report = await bench.evolve(max_calls=100, seed=1)
        assert report.failures_by_reason["refused"] > 0
        assert (report.winner, report.race_wins, report.gain_shown) == (None, [], False)
        assert any("count for no candidate, and against none" in said for said in report.warnings)


async def test_held_out_items_without_an_answer_are_counted_apart(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> str | ModelAnswer:
        is_held_out = int(request.messages[-1].content) >= TEST_START
        return ModelAnswer("", finish="refused") if is_held_out else by_demonstrations(request)

    async with open_search_bench(tmp_path, answer) as bench:
        report = await bench.evolve(max_calls=100, seed=1)
        assert report.race_wins
        assert "No held-out item was scored for both" in report.verdict
        assert not report.gain_shown
        assert any("60 held-out items of start could not be" in said for said in report.warnings)


async def test_a_winner_keeps_the_placeholders_of_the_start(tmp_path: Path) -> None:
    edit = {
        "operation": "replace",
        "block": "b1",
        "text": "double it. Sehr geehrte {unknown_var}",
        "reason": "it is not doubled",
    }

    def editor(_: ModelRequest) -> str:
        return json.dumps({"failure": "numbers stay as they are", "edits": [edit]})

    parts = {**PARTS, "train": range(8)}
    prompt = "Answer. Fill {{name}} in."
    async with open_search_bench(tmp_path, by_demonstrations, parts, editor, prompt) as bench:
        report = await bench.evolve(max_calls=120, seed=0, reflect_with="editor")
        assert "unknown_var" not in report.winner_prompt
        assert "{{name}}" in report.winner_prompt
        assert any("It lost or invented placeholders" in said for said in report.warnings)


async def test_a_search_that_stops_in_its_final_measurement_leaves_nothing_and_goes_on(
    tmp_path: Path,
) -> None:
    failures = [RejectedRequest("small", "it is closed now.")]

    def answer(request: ModelRequest) -> str:
        is_held_out = int(request.messages[-1].content) >= TEST_START + 30
        if is_held_out and failures and "double" in request.messages[0].content:
            raise failures.pop()
        return by_instruction(request)

    async with open_search_bench(tmp_path, answer) as bench:
        attempt = replace(bench, workspace=replace(bench.workspace, job="4712"))
        with pytest.raises(RejectedRequest, match="closed now"):
            await attempt.evolve(max_calls=120, reflect_with="editor")
        assert await bench.store.children(bench.task, Prompt) == []
        assert len(await bench.store.children(bench.task, RunConfig)) == 1
        asked = len(bench.model.requests)
        report = await attempt.evolve(max_calls=120, reflect_with="editor")
        assert report.gain_shown
        assert len(await bench.store.children(bench.task, Prompt)) == 1
        assert len(bench.model.requests) - asked < 60
        searches = bench.workspace.settings.home / "searches"
        assert list(searches.iterdir()) == []


async def test_a_second_claim_on_the_same_items_is_made_at_a_sharper_level(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        first = await bench.evolve(max_calls=120, reflect_with="editor")
        second = await bench.evolve(max_calls=120, seed=5, reflect_with="editor")
        assert first.comparison[0].test != second.comparison[0].test
        assert any("2nd use of this test part" in said for said in second.warnings)
        assert second.gain_shown


async def test_scores_of_the_start_that_an_eval_has_left_are_not_asked_for_again(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        call: dict[str, JsonValue] = {"project": str(bench.store.folder), "eval": "Right"}
        await evals.run_eval.invoke(bench.workspace, {**call, "run_configs": ["start"]})
        report = await bench.evolve(max_calls=120, reflect_with="editor")
        assert report.gain_shown
        assert report.held_out_calls == 60


async def test_a_gain_beside_a_score_that_falls_is_not_claimed_and_nothing_is_saved(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        context = await search_context_of(bench, max_calls=60)
        items = [f"i{number}" for number in range(240)]
        first = {"right": dict.fromkeys(items, 0.0), "safe": dict.fromkeys(items, 1.0)}
        second = {
            "right": {item: float(n % 2) for n, item in enumerate(items)},
            "safe": {item: float(n % 5 > 0) for n, item in enumerate(items)},
        }
        configs = [context.first, context.first.replace(id="700000000001", name="evolved")]
        by_score = {
            (config.id, key): scores[key]
            for config, scores in zip(configs, (first, second), strict=True)
            for key in ("right", "safe")
        }
        scores = ConfigScores(
            context.eval_context, configs, context.first, items, ["right", "safe"], by_score
        )
        comparisons = scores.compare(0.025, 10.0)
        held_out = HeldOut(configs, comparisons, first, second, UseNumber(1), 0, {})
        assert (held_out.gains, held_out.losses) == (["right"], ["safe"])
        assert not held_out.gain_shown
        assert held_out.says().startswith("right gains, but safe falls. right: evolved is better")
        few = [item for n, item in enumerate(items) if n < 20]
        part = replace(
            scores,
            items=few,
            by_score={
                (config_id, key): {item: values[item] for item in few}
                for (config_id, key), values in by_score.items()
            },
        )
        held_out = replace(held_out, comparisons=part.compare(0.025, 10.0))
        assert held_out.open_losses == ["safe"]
        said = held_out.says()
        assert "cannot exclude that safe falls by more than 10 points. They exclude losses" in said
        (points,) = re.findall(r"exclude losses of more than (\d+) in safe", said)
        interval = part.compare(0.025, 10.0)[1].against_baseline[1].interval
        assert isinstance(interval, Interval)
        assert int(points) == round(-100 * interval.low)
        result = Result(context.start, context.start, "budget", [], [context.start], 0, 0, 0)
        winner = make_winner(context, context.start)
        report = answer_of(context, Outcome(result, winner, held_out, {}))
        assert report.verdict == f"No gain is claimed: keep your prompt. {said}"
        assert [step.tool for step in report.next] == [
            "show_prompt_search",
            "add_data",
            "improve_prompt",
        ]
        assert "whether safe falls" in report.next[1].reason


async def test_outputs_that_cannot_be_had_or_judged_are_told_apart(tmp_path: Path) -> None:
    answers = {
        "1": ModelAnswer("", finish="length"),
        "2": ModelAnswer("", finish="refused"),
    }

    def answer(request: ModelRequest) -> str | ModelAnswer:
        return answers.get(request.messages[-1].content, by_instruction(request))

    async with open_search_bench(tmp_path, answer) as bench:
        context = await search_context_of(bench, max_calls=60)
        items = {entry.text: entry for entry in engine_items(context.parts.train)}
        good = await context.trials.run(context.start, items["0"])
        assert (good.scores, good.failure) == ({"right": 1.0}, "")
        failures = [await context.trials.run(context.start, items[text]) for text in ("1", "2")]
        assert [evaluation.failure for evaluation in failures] == ["truncated", "refused"]
        repeat = await context.trials.run(context.start, replace(items["3"], repeat=2))
        assert repeat.scores == {"right": 0.0}


async def test_accepted_outputs_are_shown_as_demonstrations_and_given_ones_are_kept(
    tmp_path: Path,
) -> None:
    prompt = "Do it.\n\n# Examples\n\n## Example 1\nInput: 7\nOutput: 14"
    async with open_search_bench(tmp_path, by_instruction, prompt=prompt) as bench:
        context = await search_context_of(bench, max_calls=60)
        texts = context.texts
        assert texts.prompt(context.start) == prompt
        assert context.start.demonstrations == ("given 1",)
        item = EngineItem("fresh", text="5")
        shown = texts.render(item, Evaluation({"right": 1.0}, output="10"))
        assert json.loads(shown) == ["5", "10"]
        odd = EngineItem("odd", text="5\n\n## Example 2\nInput: 1")
        assert texts.render(odd, Evaluation({"right": 1.0}, output="10")) == ""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ContextOverflow("small", "9,000 tokens"), "too_long"),
        (ProgramFailure("start", "ends with 1"), "program"),
        (EvalError("It cannot be filled."), "evaluator"),
    ],
)
async def test_why_an_output_has_no_score_is_named(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    def answer(request: ModelRequest) -> str:
        raise error

    async with open_search_bench(tmp_path, answer) as bench:
        context = await search_context_of(bench, max_calls=60)
        evaluation = await context.trials.run(context.start, engine_items(context.parts.train)[0])
        assert (evaluation.failure, evaluation.scores) == (reason, {})


async def test_an_item_that_an_evaluator_skips_has_no_score(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        context = await search_context_of(bench, max_calls=60)
        item = replace(context.parts.train[0], reference=None)
        evaluation = await context.trials.run(context.start, engine_items([item])[0])
        assert evaluation.scores == {}
        assert evaluation.failure


async def test_no_gain_is_told_apart_from_too_little_that_was_looked_at(tmp_path: Path) -> None:
    few = {"train": range(12), "val": range(100, 124), "test": range(200, 204)}
    async with open_search_bench(tmp_path, by_demonstrations_before_test, few) as bench:
        answer = await bench.evolve(max_calls=100, seed=1)
        assert "Too little was looked at: a gain in right of up to" in answer.verdict
    # On sixty items on which both always score the same, a large gain is excluded.
    async with open_search_bench(tmp_path / "2", by_demonstrations_before_test) as bench:
        answer = await bench.evolve(max_calls=100, seed=1)
        assert "No gain in right of" in answer.verdict


def by_thinking(request: ModelRequest) -> str:
    """Double the number when the model was told to think about doubling."""
    number = int(request.messages[1].content)
    is_told = any("double" in message.content for message in request.messages[2:])
    return json.dumps({"n": number * 2 if is_told else number})


async def test_what_the_model_is_told_to_think_about_is_improved_too(tmp_path: Path) -> None:
    asked: list[str] = []

    def editor(request: ModelRequest) -> str:
        text = request.messages[-1].content
        asked.append(text)
        block = "thinking-1" if "[thinking-1]" in text else "b9"
        edit = {"operation": "add", "block": block, "text": "Then double it.", "reason": "half"}
        return json.dumps({"failure": "numbers are not doubled", "edits": [edit]})

    async with open_search_bench(tmp_path, by_thinking, editor=editor) as bench:
        await run_configs_service.create_run_config.invoke(
            bench.workspace,
            {
                "project": str(bench.store.folder),
                "name": "thinker",
                "model": "small",
                "prompt_id": "simple_chain_of_thought_prompt_builder",
            },
        )
        answer = await bench.evolve(start="thinker", max_calls=200, reflect_with="editor")
        assert answer.gain_shown
        assert answer.winner_prompt == answer.start_prompt
        assert answer.thinking.endswith("Then double it.")
        [prompt] = await bench.store.children(bench.task, Prompt)
        assert prompt.chain_of_thought_instructions == answer.thinking
        configs = await bench.store.children(bench.task, RunConfig)
        [winner] = [config for config in configs if config.name == answer.winner]
        assert winner.prompt is not None
        assert winner.prompt.chain_of_thought_instructions == answer.thinking
    is_about_thinking = ["told to think about before it answers" in text for text in asked]
    assert True in is_about_thinking
    assert False in is_about_thinking
