"""A client that can put forms to the person asks them the questions of a session, in turn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client

from form_client import ERAS, Content, Era, Form, Person, call, connected
from kiln_mcp.spec_texts.session_events import SpecSession
from kiln_mcp.spec_texts.session_files import read_sessions
from spec_bench import ANSWERS, open_spec_bench
from work_orders import Order, orders_in

WISH = "Replies are rude, and it promises refunds"


def first_option(form: Form) -> Content:
    """Choose the first option, or answer in own words if there is none."""
    properties = form.requested_schema["properties"]
    return (
        {"choice": properties["choice"]["enum"][0]} if "choice" in properties else own_words(form)
    )


def own_words(form: Form) -> Content:
    """Answer in words that no option has."""
    return {"own_words": "Only if the customer asks"}


async def project_in(folder: Path) -> str:
    async with open_spec_bench(folder) as bench:
        return bench.project


async def session_in(folder: Path) -> SpecSession:
    async with open_spec_bench(folder) as bench:
        (session,) = await read_sessions(await bench.store(), await bench.task())
        return session


@pytest.mark.parametrize("era", ERAS)
async def test_questions_are_asked_in_turn_and_their_answers_recorded(
    tmp_path: Path, era: Era
) -> None:
    project, person = await project_in(tmp_path), Person(first_option)
    async with connected(tmp_path, person, era) as client:
        report = await call(client, "build_spec", project=project, wish=WISH)
    session = await session_in(tmp_path)
    assert 2 <= len(person.forms) <= 5
    assert "question" not in report
    assert list(session.answers) == [f"q{n}" for n in range(1, len(person.forms) + 1)]
    assert all("Dear customer" in form.message for form in person.forms)
    assert f"The person answered {', '.join(session.answers)}" in report["message"]
    # No assistant passed these answers on.
    assert "passed on" in session.events[0].by
    assert all("passed on" not in event.by for event in session.events[1:])


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_in_own_words_goes_before_the_choice(tmp_path: Path, era: Era) -> None:
    project = await project_in(tmp_path)
    person = Person(lambda form: {**first_option(form), **own_words(form)})
    async with connected(tmp_path, person, era) as client:
        await call(client, "build_spec", project=project, wish=WISH)
    answers = (await session_in(tmp_path)).answers.values()
    assert {answer.text for answer in answers} == {"Only if the customer asks"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("content", [None, {}, {"agree": True}, {"own_words": "  "}])
async def test_a_question_without_an_answer_ends_asking_without_an_error(
    tmp_path: Path, era: Era, content: Content | None
) -> None:
    project, person = await project_in(tmp_path), Person(lambda form: content)
    async with connected(tmp_path, person, era) as client:
        report = await call(client, "build_spec", project=project, wish=WISH)
    assert len(person.forms) == 1
    assert report["question"]["id"] == "q1"
    assert "q1 got no answer" in report["message"]
    assert not (await session_in(tmp_path)).answers


@pytest.mark.parametrize("era", ERAS)
async def test_saving_and_assuming_ask_nothing(tmp_path: Path, era: Era) -> None:
    project, person = await project_in(tmp_path), Person(first_option)
    async with connected(tmp_path, person, era) as client:
        await call(client, "build_spec", project=project, wish=WISH, answers="assume")
        await call(client, "build_spec", project=project, save=True)
    assert person.forms == []


@pytest.mark.parametrize("era", ERAS)
async def test_the_questions_of_a_job_are_asked_with_the_answer_that_ends_it(
    tmp_path: Path, era: Era
) -> None:
    project, person = await project_in(tmp_path), Person(first_option)
    async with connected(tmp_path, person, era, "host") as client:
        answer = await call(client, "build_spec", project=project, wish=WISH)
        while orders := orders_in(answer):
            given = [{"id": order.id, "answer": reply(order)} for order in orders]
            answer = await call(client, "answer_work_orders", answers=given)
    (job,) = answer["jobs"]
    assert job["capability"] == "build_spec"
    assert "question" not in job["result"]
    session = await session_in(tmp_path)
    assert len(session.answers) == len(person.forms) >= 2


async def test_what_a_client_made_up_is_no_call_to_go_on_with(tmp_path: Path) -> None:
    project, person = await project_in(tmp_path), Person(first_option)
    async with connected(tmp_path, person, "auto") as client:
        for state in ("{", '{"tool": "delete_record"}', "null"):
            result = await client.session.call_tool(
                "build_spec",
                {"project": project, "wish": WISH, "answers": "assume"},
                request_state=state,
                allow_input_required=True,
            )
            assert isinstance(result, types.CallToolResult)
            assert not result.is_error


async def test_what_a_client_kept_counts_after_a_restart_and_not_once_it_is_changed(
    tmp_path: Path,
) -> None:
    project = await project_in(tmp_path)
    arguments = {"project": project, "wish": WISH}
    async with connected(tmp_path, Person(first_option), "auto") as client:
        first = await ask(client, arguments)
        second = await ask(client, arguments, first)
    assert second.request_state
    assert project not in second.request_state
    changed = second.model_copy(update={"request_state": f"{second.request_state[:-8]}AAAAAAAA"})
    async with connected(tmp_path, Person(first_option), "auto") as client:
        third = await ask(client, arguments, second)
        assert third.request_state
        assert len((await session_in(tmp_path)).answers) == 2
        await ask(client, arguments, changed)  # begins the call again
    async with open_spec_bench(tmp_path) as bench:
        sessions = await read_sessions(await bench.store(), await bench.task())
    assert sorted(len(session.answers) for session in sessions) == [0, 2]


async def ask(
    client: Client, arguments: dict[str, Any], previous: types.InputRequiredResult | None = None
) -> types.InputRequiredResult:
    """Make one request of a call, with the person's first choices for what it asked before."""
    requests = previous.input_requests or {} if previous is not None else {}
    forms = {key: entry.params for key, entry in requests.items()}
    responses: types.InputResponses = {
        key: types.ElicitResult(action="accept", content=first_option(form))
        for key, form in forms.items()
        if isinstance(form, Form)
    }
    result = await client.session.call_tool(
        "build_spec",
        arguments,
        input_responses=responses or None,
        request_state=previous.request_state if previous is not None else None,
        allow_input_required=True,
    )
    assert isinstance(result, types.InputRequiredResult)
    return result


def reply(order: Order) -> object:
    """Answer an order as a careful assistant would."""
    properties: Mapping[str, Any] = (order.schema or {}).get("properties", {})
    return next(answer for key, answer in ANSWERS if key in properties)
