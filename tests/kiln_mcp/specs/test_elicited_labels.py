"""The labels of a review are asked by forms: blind, one at a time, with reasons for differences."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from form_client import ERAS, Content, Era, Form, Person, call, connected
from kiln_mcp.judging.service import check_judge, draw_items_to_label
from kiln_mcp.labels.ledger import Label, read_labels
from kiln_mcp.llm import ModelRequest
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from spec_bench import assistant, open_spec_bench
from storage import Eval

FIELDS = {"core_requirement": "The reply names the order.", "tone_description": "- No thanks."}
NAMES = ("Order", "Thanks")


def passes_all(request: ModelRequest) -> str:
    properties = (request.schema or {}).get("properties", {})
    for key in ("order", "thanks"):
        if key in properties:
            return json.dumps({"reasoning": "JUDGE SAYS", key: "pass"})
    return assistant(request)


async def saved_specs(folder: Path, *names: str, is_judged: bool = False) -> str:
    """Save specs, with verdicts of their judges on all outputs if asked for."""
    async with open_spec_bench(folder, passes_all, default_model="scripted") as bench:
        for name in names:
            await bench.call(kind=SpecKind.TONE, fields=FIELDS, name=name, save=True)
        arguments: dict[str, JsonValue] = {"project": bench.project, "eval": [*names]}
        if is_judged:
            draw = {"outputs": "all", "purpose": "certificate", "count": 1, "rater": "bob"}
            await draw_items_to_label.invoke(bench.workspace, {**arguments, **draw})
        return bench.project


async def labels_in(folder: Path) -> list[Label]:
    async with open_spec_bench(folder) as bench:
        store = await bench.store()
        evals = await store.children(await bench.task(), Eval)
        return [label for record in evals for label in (await read_labels(store, record)).entries]


def says(label: str, reason: str | None = "too long") -> Any:
    """Return what a person does: give each output one label, and a reason if asked."""

    def answer(form: Form) -> Content | None:
        if "choice" in form.requested_schema["properties"]:
            return {"choice": label}
        return None if reason is None else {"own_words": reason}

    return answer


async def review(folder: Path, person: Person, era: Era, count: int = 3) -> dict[str, Any]:
    async with open_spec_bench(folder) as bench:
        project = bench.project
        names = [
            record.name for record in await (await bench.store()).children(await bench.task(), Eval)
        ]
    async with connected(folder, person, era) as client:
        answer = await call(
            client,
            "draw_items_to_label",
            project=project,
            eval=names,
            outputs="all",
            purpose="review",
            count=count,
            rater="ann",
        )
        return dict(answer)


@pytest.mark.parametrize("era", ERAS)
async def test_each_output_is_asked_about_once_for_each_spec_and_labels_are_saved(
    tmp_path: Path, era: Era
) -> None:
    await saved_specs(tmp_path, *NAMES)
    person = Person(says("fail"))
    batch = await review(tmp_path, person, era)
    assert batch["items"] == []
    assert len(person.forms) == 6
    labels = await labels_in(tmp_path)
    assert len(labels) == 6
    assert {(label.rater, label.value, label.blind) for label in labels} == {("ann", 0.0, True)}
    assert {label.purpose for label in labels} == {"review"}
    shown = [form.message for form in person.forms]
    assert all("Output: Dear customer" in text for text in shown)
    assert not any("JUDGE SAYS" in text or "judge" in text for text in shown)
    choice = person.forms[0].requested_schema["properties"]["choice"]["enum"]
    assert {"pass", "fail", "cannot judge"} <= set(choice)


@pytest.mark.parametrize("era", ERAS)
async def test_a_reason_is_asked_for_where_the_judge_differs_and_only_there(
    tmp_path: Path, era: Era
) -> None:
    await saved_specs(tmp_path, "Order", is_judged=True)
    person = Person(says("fail"))
    await review(tmp_path, person, era, count=6)
    whys = [form for form in person.forms if "Why is it fail?" in form.message]
    assert whys
    labels = await labels_in(tmp_path)
    reasons = {label.item for label in labels if label.reason == "too long"}
    assert len(reasons) == len(whys)
    other = tmp_path / "other"
    other.mkdir()
    await saved_specs(other, "Order", is_judged=True)
    agreeing = Person(says("pass"))
    await review(other, agreeing, era, count=6)
    assert not any("Why" in form.message for form in agreeing.forms)


@pytest.mark.parametrize("era", ERAS)
async def test_a_person_who_stops_keeps_what_they_labelled_and_the_rest_stays_open(
    tmp_path: Path, era: Era
) -> None:
    await saved_specs(tmp_path, "Order")
    person = Person(lambda form: {"choice": "pass"} if len(person.forms) < 3 else None)
    batch = await review(tmp_path, person, era, count=4)
    assert len(batch["items"]) == 2
    assert "got no answer" in batch["message"]
    assert len(await labels_in(tmp_path)) == 2
    again = Person(says("cannot judge"))
    rest = await review(tmp_path, again, era, count=4)
    labels = await labels_in(tmp_path)
    assert rest["items"] == []
    assert len({label.item for label in labels}) == len(labels) == 2 + len(again.forms)
    assert {label.state for label in labels[2:]} == {"cannot_judge"}


@pytest.mark.parametrize("era", ERAS)
async def test_a_label_stays_if_its_reason_is_declined(tmp_path: Path, era: Era) -> None:
    await saved_specs(tmp_path, "Order", is_judged=True)
    person = Person(says("fail", None))
    await review(tmp_path, person, era, count=6)
    labels = await labels_in(tmp_path)
    assert labels
    assert [label.reason for label in labels] == [""] * len(labels)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("content", [{}, {"choice": "excellent"}, {"own_words": "pass"}])
async def test_what_is_no_label_ends_the_review_without_an_error(
    tmp_path: Path, era: Era, content: Content
) -> None:
    await saved_specs(tmp_path, "Order")
    batch = await review(tmp_path, Person(lambda form: content), era)
    assert len(batch["items"]) == 3
    assert not await labels_in(tmp_path)


@pytest.mark.parametrize("era", ERAS)
async def test_items_for_other_purposes_are_left_to_the_assistant(tmp_path: Path, era: Era) -> None:
    project = await saved_specs(tmp_path, "Order")
    person = Person(says("pass"))
    async with connected(tmp_path, person, era) as client:
        batch = await call(
            client, "draw_items_to_label", project=project, eval=["Order"], outputs="all"
        )
    assert batch["items"]
    assert not person.forms


@pytest.mark.parametrize("era", ERAS)
async def test_disagreements_with_labels_of_a_review_ask_why_once(tmp_path: Path, era: Era) -> None:
    project = await saved_specs(tmp_path, "Order")
    await review(tmp_path, Person(says("fail")), era)
    async with open_spec_bench(tmp_path, passes_all, default_model="scripted") as bench:
        arguments: dict[str, JsonValue] = {"project": bench.project, "eval": "Order"}
        await check_judge.invoke(bench.workspace, arguments)
    person = Person(says("fail"))
    async with connected(tmp_path, person, era) as client:
        show = {"project": project, "eval": "Order", "show": "disagreements"}
        report = await call(client, "check_judge", **show)
        assert "ann said fail, the judge pass (JUDGE SAYS)" in person.forms[0].message
        rows = report["disagreements"]
        assert {row["label_reason"] for row in rows} == {"too long"}
        count = len(person.forms)
        assert count == len(rows) > 0
        await call(client, "check_judge", **show)
        assert len(person.forms) == count
