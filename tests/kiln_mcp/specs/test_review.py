"""Labels of real outputs refine saved specs, and tell how far their judges agree."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from kiln_mcp.judging.service import check_judge, draw_items_to_label, label_items
from kiln_mcp.llm import ModelRequest
from kiln_mcp.spec_texts.session_files import SESSIONS, append_event, read_sessions
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.specs.arguments import DraftEdit
from kiln_mcp.specs.service import build_spec
from spec_bench import SpecBench, assistant, open_spec_bench

FIELDS = {"core_requirement": "The reply names the order.", "tone_description": "- No thanks."}


def judge(request: ModelRequest) -> str:
    """Pass every output."""
    properties = (request.schema or {}).get("properties", {})
    if "order" in properties:
        return json.dumps({"reasoning": "fine", "order": "pass"})
    return assistant(request)


async def label(bench: SpecBench, count: int, value: str) -> dict[str, str]:
    """Draw a review, and give all its outputs one label."""
    step = (await bench.call()).next[-1]
    assert step.tool == "draw_items_to_label"
    arguments: dict[str, JsonValue] = {"project": bench.project, **(step.arguments or {})}
    batch = await draw_items_to_label.invoke(
        bench.workspace, {**arguments, "rater": "ann", "count": count}
    )
    given = {item.item: value for item in batch.items}
    labels: list[JsonValue] = [
        {"item": item, "label": value, "reason": "too many thanks" if value == "fail" else ""}
        for item, value in given.items()
    ]
    await label_items.invoke(
        bench.workspace,
        {
            "project": bench.project,
            "eval": arguments["eval"],
            "labels": labels,
            "rater": "ann",
        },
    )
    return given


async def test_labels_of_a_review_become_examples_and_the_random_half_measures(
    tmp_path: Path,
) -> None:
    async with open_spec_bench(tmp_path, judge, outputs=8, default_model="scripted") as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True)
        given = await label(bench, 4, "fail")
        report = await bench.call()
        learned = report.specs[0].examples
        assert (len(given), len(learned)) == (4, 2)
        assert {example.why for example in learned} == {"too many thanks"}
        assert "no label drawn at random has a verdict" in (report.message or "")
        assert not report.saved
        report = await bench.call(edits=[DraftEdit(target=report.edits[0].id, text="")])
        assert len(report.specs[0].examples) == len(learned) - 1
        report = await bench.call(save=True)
        assert report.specs[0].judge == "Order judge 2"


async def test_what_a_person_takes_back_after_labels_stays_so(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path, judge, outputs=8, default_model="scripted") as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True)
        await label(bench, 4, "fail")
        (first, second) = (await bench.call()).edits
        await bench.call(edits=[DraftEdit(target=first.id, text="")])
        for save in (False, True, False):  # what a label taught is not taught again
            report = await bench.call(save=save)
            assert [example.id for example in report.specs[0].examples] == [second.target]
        assert report.specs[0].is_saved
        edit = DraftEdit(target="c1", text="The reply names the order number.")
        (edited, *_) = (await bench.call(edits=[edit])).edits
        report = await bench.call(edits=[DraftEdit(target=edited.id, text="")])
        assert report.specs[0].is_saved
        assert "would flip" not in str(report)


async def test_a_label_that_the_person_changes_corrects_the_example_that_it_taught(
    tmp_path: Path,
) -> None:
    async with open_spec_bench(tmp_path, judge, outputs=8, default_model="scripted") as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True)
        given = await label(bench, 4, "fail")
        examples = (await bench.call()).specs[0].examples
        assert {example.verdict for example in examples} == {"fail"}
        labels: list[JsonValue] = [{"item": item, "label": "pass"} for item in given]
        arguments = {"project": bench.project, "eval": "Order", "labels": labels, "rater": "ann"}
        await label_items.invoke(bench.workspace, arguments)
        corrected = (await bench.call()).specs[0].examples
        assert [(e.id, e.output) for e in corrected] == [(e.id, e.output) for e in examples]
        assert {example.verdict for example in corrected} == {"pass"}
        first = DraftEdit(target=corrected[0].id, text="Nothing.")
        report = await bench.call(edits=[first])  # newer than the labels
        assert (await bench.call()).specs[0].examples == report.specs[0].examples


async def test_labels_that_an_example_contradicts_are_named(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path, judge, outputs=4, default_model="scripted") as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True)
        given = await label(bench, 4, "pass")
        (item, *_) = [item for item, value in given.items() if value == "pass"]
        run = next(run for run in await bench.runs() if run.id == item)
        text = f"- {run.output.output}"
        report = await bench.call(edits=[DraftEdit(target="unacceptable_examples", text=text)])
        assert f"run/{item}: labelled pass, now fail" in (report.message or "")


async def test_a_judge_that_differs_from_labels_is_told_so_and_learns_from_them(
    tmp_path: Path,
) -> None:
    async with open_spec_bench(tmp_path, judge, outputs=8, default_model="scripted") as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True)
        await label(bench, 4, "fail")
        await check_judge.invoke(bench.workspace, {"project": bench.project, "eval": "Order"})
        report = await bench.call()
        assert "agrees on 0 of 2 random outputs that took no part" in (report.message or "")
        assert "90% are out of reach" in (report.message or "")
        assert len(report.specs[0].examples) == 2
        await bench.call(save=True)
        again = await bench.call()
        assert len(again.specs[0].examples) == 2


async def test_a_second_attempt_of_a_job_writes_nothing_twice(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path, judge, default_model="scripted") as bench:
        again = SpecBench(bench.folder, replace(bench.workspace, job="j1"), bench.model)
        first = await again.call("Be polite", answers="assume", save=True)
        second = await again.call("Be polite", answers="assume", save=True)
        assert second.session == first.session
        assert len(await bench.specs()) == len(first.specs)
        store, task = await bench.store(), await bench.task()
        (session,) = await read_sessions(store, task)
        event = session.events[0]
        async with store.transaction() as change:
            append_event(change, task, event)
            change.append_lines(task, SESSIONS, ['{"session": 7}'])
        (session,) = await read_sessions(store, task)
        assert [e.step for e in session.events] == ["draft", "answer", "save"]
        edits = [DraftEdit(target="d1", text="No jokes.")]
        calls: tuple[dict[str, Any], ...] = ({"edits": edits}, {})
        for number, arguments in enumerate(calls, 2):
            job = SpecBench(bench.folder, replace(bench.workspace, job=f"j{number}"), bench.model)
            once = await job.call(session=first.session, **arguments)
            twice = await job.call(session=first.session, **arguments)
            assert [s.clauses for s in once.specs] == [s.clauses for s in twice.specs]


async def test_the_agreement_that_the_person_asks_for_ends_the_review(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path, judge, outputs=8, default_model="scripted") as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True)
        await label(bench, 8, "pass")
        await check_judge.invoke(bench.workspace, {"project": bench.project, "eval": "Order"})
        strict = await bench.call(goal=1.0)
        assert "100% are reached" in (strict.message or "")
        assert all(step.tool != "draw_items_to_label" for step in strict.next)
    folder = tmp_path / "second"
    folder.mkdir()
    async with open_spec_bench(folder, judge, outputs=40, default_model="scripted") as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True, goal=0.99)
        await label(bench, 20, "pass")
        await check_judge.invoke(bench.workspace, {"project": bench.project, "eval": "Order"})
        report = await bench.call()
        assert "labels would show 99%" in (report.message or "")
        assert report.next[-1].tool == "draw_items_to_label"
        report = await bench.call(goal=0.5)
        assert "50% are reached" in (report.message or "")
        assert all(step.tool != "draw_items_to_label" for step in report.next)


def strict_judge(request: ModelRequest) -> str:
    """Fail order 0 once the spec asks for a thank you; no panel gives a verdict on it."""
    properties = (request.schema or {}).get("properties", {})
    text = "\n".join(message.content for message in request.messages)
    if "order" in properties and "thanks the customer" in text and "Where is order 0?" in text:
        return json.dumps({"reasoning": "no thanks", "order": "fail"})
    if "verdicts" in properties:
        clauses = ("d1.c1", "d1.c2", "d1.c3")
        verdicts: list[JsonValue] = [
            {"output": 1, "clause": clause, "verdict": "pass", "reason": "so"} for clause in clauses
        ]
        return json.dumps({"verdicts": verdicts})
    if "rewordings" in properties:
        return json.dumps({"rewordings": []})
    return judge(request)


async def test_a_changed_spec_says_which_labels_would_flip_after_its_cost_was_shown(
    tmp_path: Path,
) -> None:
    async with open_spec_bench(
        tmp_path, strict_judge, outputs=6, default_model="scripted"
    ) as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True)
        given = await label(bench, 6, "pass")
        (first,) = [run.id for run in await bench.runs() if run.input == "Where is order 0?"]
        edit = DraftEdit(target="d1", text="The reply thanks the customer.")
        report = await bench.call(edits=[edit])
        (step,) = [step for step in report.next if "labels" in step.reason]
        assert f"{len(given)} labels" in step.reason
        proposal = await build_spec.propose(
            bench.workspace, {"project": bench.project, **(step.arguments or {})}
        )
        assert f"changed judges about {len(given)} labelled outputs" in proposal.plan.text
        before = len(bench.model.requests)
        report = await proposal.carry_out()
        assert len(bench.model.requests) - before <= proposal.plan.calls
        flips = f"differs from 1 of {len(given)} labels: run/{first}: labelled pass, now fail."
        assert flips in (report.message or "")
        assert not report.saved


async def test_a_judge_is_asked_only_about_labels_that_a_changed_clause_can_flip(
    tmp_path: Path,
) -> None:
    async with open_spec_bench(
        tmp_path, strict_judge, outputs=8, default_model="scripted"
    ) as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Order", save=True)
        given = await label(bench, 4, "fail")
        session = (await bench.call()).session
        report = await bench.call(session=session, save=True)  # what the labels taught
        taught = len(report.specs[0].examples)
        added = DraftEdit(target="d1", text="The reply thanks the customer.")
        report = await bench.call(edits=[added])
        message = report.message or ""
        assert f"{len(given) - taught}, because clauses were only added" in message
        assert f"{taught}, because an example settles the output" in message
        assert not [step for step in report.next if "labels" in step.reason]
        report = await bench.call(edits=[DraftEdit(target="d1.c1", text="")])
        (step,) = [step for step in report.next if "labels" in step.reason]
        assert f"{len(given) - taught} labels" in step.reason
        assert "only added" not in (report.message or "")
