"""The judge of a spec reads the spec, and is stale once the spec says something else."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from kiln_mcp.advice.service import describe_project
from kiln_mcp.evals.arguments import ScoreDefinition
from kiln_mcp.evals.service import create_evaluator
from kiln_mcp.evaluators.spec_judges import judge_steps, score_instruction, stale_judges
from kiln_mcp.spec_texts.content_files import clauses_of
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Origin,
    Polarity,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import SpecKind, definition, properties_of
from kiln_mcp.specs.arguments import DraftEdit, QuestionAnswer
from spec_bench import SpecBench, open_spec_bench
from storage import Eval, EvalConfig, Spec
from storage.errors import Refusal

POLITE = {"core_requirement": "The reply is polite.", "tone_description": "No blame."}


async def judges(bench: SpecBench) -> list[EvalConfig]:
    store = await bench.store()
    evals = await store.children(await bench.task(), Eval)
    return [judge for e in evals for judge in await store.children(e, EvalConfig)]


def instructions(judge: EvalConfig) -> list[str]:
    return list(judge.properties.model_dump()["judge_instructions"])


def test_requirements_and_faults_and_examples_are_told_apart() -> None:
    origin = Origin("person")
    content = SpecContent(
        SpecKind.ISSUE,
        "N",
        (
            Clause("c1", "It promises a refund.", Polarity.MUST_NOT, origin),
            Clause("c2", "It must name the order.", Polarity.MUST, origin),
        ),
        (
            SpecExample("e1", "You get it.", ExampleVerdict.FAIL, origin, "Refund?", "c1", "sure"),
            SpecExample("e2", "Order 7.", ExampleVerdict.PASS, origin),
        ),
    )
    fault, demand, passing, failing, last = judge_steps(content)
    assert fault.startswith("Fault c1: It promises a refund. This is what the response must not")
    assert demand.startswith("Requirement c2: It must name the order.")
    assert passing.endswith("- pass: output: Order 7.")
    assert (
        "- fail: input: Refund?\n  output: You get it.\n  reason: sure\n  decided by: c1" in failing
    )
    assert last.startswith("Pass the response only if")
    assert score_instruction(content) == (
        "pass = the response meets each requirement (It must name the order.) and does not do "
        "this (It promises a refund.). fail = it does otherwise."
    )


@pytest.mark.parametrize("polarity", Polarity)
def test_a_prohibition_in_its_own_words_is_a_requirement_and_never_forbidden_again(
    polarity: Polarity,
) -> None:
    clause = Clause("c1", "The reply does not promise a refund.", polarity, Origin("person"))
    content = SpecContent(SpecKind.TONE, "N", (clause,), ())
    assert judge_steps(content)[0].startswith("Requirement c1: The reply does not promise")
    assert "does not do this" not in score_instruction(content)


async def test_a_judge_of_a_spec_reads_its_clauses(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path) as bench:
        await bench.call(kind=SpecKind.TONE, fields=POLITE, name="Polite", save=True)
        call: dict[str, JsonValue] = {
            "project": bench.project,
            "type": "llm_judge",
            "model": "scripted",
        }
        await create_evaluator.invoke(
            bench.workspace,
            {**call, "eval": "Manners", "spec": "polite", "steps": ["No sarcasm."]},
        )
        await create_evaluator.invoke(bench.workspace, {**call, "eval": "manners", "name": "Two"})
        first, second = await judges(bench)
        assert instructions(first)[0].startswith("Requirement c1: The reply is polite.")
        assert instructions(first)[-1] == "No sarcasm."
        assert instructions(second) == instructions(first)[:-1]
        store, task = await bench.store(), await bench.task()
        (record,) = await store.children(task, Eval)
        assert (record.output_scores[0].instruction or "").startswith("pass = the response")
        (spec,) = await bench.specs()
        assert spec.eval_id == record.id
        own: list[JsonValue] = [ScoreDefinition(name="Own").model_dump()]
        await create_evaluator.invoke(
            bench.workspace, {**call, "eval": "Other", "spec": "polite", "scores": own}
        )
        other = await store.find(Eval, "Other")
        assert other.output_scores[0].instruction is None


async def test_a_spec_that_others_edit_makes_its_judge_stale_and_saving_compiles_it_again(
    tmp_path: Path,
) -> None:
    async with open_spec_bench(tmp_path, default_model="scripted") as bench:
        await bench.call(kind=SpecKind.TONE, fields=POLITE, name="Polite", save=True)
        store, task = await bench.store(), await bench.task()
        (record,) = await store.children(task, Eval)
        assert await stale_judges(store, task, record) == []
        (spec,) = await bench.specs()
        fields = {**POLITE, "tone_description": "No blame. No jokes."}
        await store.save(
            spec.replace(
                definition=definition(SpecKind.TONE, fields),
                properties=properties_of(SpecKind.TONE, fields),
            )
        )
        with pytest.raises(Refusal, match="somebody changed the spec 'Polite'"):
            await bench.call(answers=[QuestionAnswer(question="q1", answer="1")], save=True)
        (stale,) = await stale_judges(store, task, record)
        described = await describe_project(bench.workspace, bench.project)
        assert any(f"{stale.name!r} is stale" in text for text in described.tasks[0].weaknesses)
        report = await bench.call(
            spec="polite", edits=[DraftEdit(target="d1", text="No emoji.")], save=True
        )
        assert report.specs[0].judge == "Polite judge 2"
        described = await describe_project(bench.workspace, bench.project)
        assert not any("stale" in text for text in described.tasks[0].weaknesses)
        content = await clauses_of(store, await store.find(Spec, "polite"))
        assert [c.text for c in content.clauses][-2:] == ["No jokes.", "No emoji."]


async def test_a_session_that_waits_is_the_first_next_step_of_its_project(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path) as bench:
        report = await bench.call("Replies must be polite")
        described = await describe_project(bench.workspace, bench.project)
        step = described.tasks[0].next[0]
        assert (step.tool, step.arguments) == ("build_spec", {"session": report.session})
        assert "2 open questions" in step.reason
        await bench.call(save=True)
        described = await describe_project(bench.workspace, bench.project)
        assert all(step.tool != "build_spec" for step in described.tasks[0].next)
