import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, JsonValue, ValidationError

from kiln_mcp.approvals.approval import ProposedCall
from kiln_mcp.approvals.errors import MissingApproval, rejection_error
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.errors import InvalidArguments
from kiln_mcp.workbench.capability import Proposal, Result, Runs, capability
from storage import Task, TaskOutput
from storage.errors import Refusal, WorkbenchError


@dataclass
class Context:
    """A context whose person answers as told; None if there is nobody to ask."""

    agrees: bool | None = True
    questions: list[ProposedCall] = field(default_factory=list[ProposedCall])

    async def approve(self, call: ProposedCall, effect: Effect) -> None:
        if not call.plan.needs_approval:
            return
        self.questions.append(call)
        if self.agrees is None:
            raise MissingApproval(call.plan, "ap-234567")
        if not self.agrees:
            raise rejection_error(call.plan)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    size: int = 1


class Picture(Result):
    text: str


picture: list[str] = []


@capability(effect=Effect.SPENDS, title="Paint it", runs=Runs.AS_JOB)
async def paint(
    context: Context,
    thing: Annotated[str, Field(description="What to paint.")],
    colour: Annotated[Colour, Field(description="Which colour.")] = Colour.RED,
    parts: Annotated[list[Part], Field(description="Its parts.")] = [],  # noqa: B006
) -> Proposal[Picture]:
    """Paint a thing."""

    async def carry_out() -> Picture:
        picture.append(thing)
        return Picture(text=f"{thing} {colour} {len(parts)}")

    return Proposal(Plan(f"Paint {thing}.", calls=1, highest_cost_usd=2.0), carry_out)


@pytest.fixture(autouse=True)
def nothing_painted() -> None:
    picture.clear()


async def test_a_capability_answers_the_same_called_as_a_function_and_by_its_arguments() -> None:
    direct = await paint(Context(), thing="door", colour=Colour.BLUE)
    result = await paint.invoke(Context(), {"thing": "door", "colour": "blue"})
    assert direct == result == Picture(text="door blue 0")


async def test_a_proposal_does_nothing_until_it_is_carried_out() -> None:
    context = Context()
    proposal = await paint.propose(context, {"thing": "door"})
    assert (proposal.plan.summary, picture, context.questions) == ("Paint door.", [], [])
    assert (await proposal.carry_out()).text == "door red 0"
    assert picture == ["door"]


@pytest.mark.parametrize(("agrees", "error"), [(False, WorkbenchError), (None, MissingApproval)])
async def test_a_python_caller_is_stopped_where_nobody_approves(
    agrees: bool | None, error: type[Exception]
) -> None:
    context = Context(agrees)
    with pytest.raises(error, match=r"Paint door\. About 1 model call"):
        await paint(context, thing="door")
    with pytest.raises(error):
        await paint.invoke(context, {"thing": "door", "approval_id": "ap-234567"})
    assert picture == []
    assert [call.arguments for call in context.questions] == [{"thing": "door"}] * 2


async def test_what_needs_no_approval_is_done_where_nobody_approves_the_rest() -> None:
    @capability(effect=Effect.WRITES, title="Note")
    async def note(context: Context, text: str) -> Proposal[Picture]:
        async def save(suffix: str = "") -> Picture:
            return Picture(text=text + suffix)

        return Proposal(Plan("Note.", certifies=True), save, save)

    assert (await note(Context(True), text="x")).text == "x"
    assert (await note(Context(None), text="x ")).text == "x ap-234567"
    with pytest.raises(WorkbenchError, match="declined"):
        await note(Context(False), text="x")


async def test_an_unknown_argument_is_refused_with_the_nearest_and_all_valid_names() -> None:
    with pytest.raises(InvalidArguments) as refusal:
        await paint.invoke(Context(), {"thing": "door", "color": "blue"})
    assert str(refusal.value) == (
        "paint was not called: Unknown argument 'color'. Did you mean 'colour'? "
        "It takes: thing, colour, parts, approval_id, wait_s, limit_usd, limit_tokens, "
        "limit_calls, limit_seconds."
    )


async def test_all_problems_of_a_call_are_named_at_once() -> None:
    with pytest.raises(InvalidArguments) as refusal:
        await paint.invoke(Context(), {"colour": "green", "parts": [{"size": 1}]})
    assert [str(problem) for problem in refusal.value.problems] == [
        "The argument 'thing' is missing.",
        "The argument 'colour' is wrong: it has to be one of: red, blue (given: 'green').",
        "The argument 'parts[0].name' is missing.",
    ]


@pytest.mark.parametrize(
    "parts",
    [
        '[{"name": "leg"}, {"name": "top", "size": 2}]',
        ['{"name": "leg"}', {"name": "top", "size": 2}],
        [{"name": "leg", "size": None}, {"name": "top", "size": ""}],
    ],
)
async def test_lists_and_objects_as_json_text_and_empty_optionals_are_taken_as_meant(
    parts: JsonValue,
) -> None:
    assert (await paint.invoke(Context(), {"thing": "door", "parts": parts})).text == "door red 2"


async def test_one_entry_alone_is_taken_as_a_list_of_it() -> None:
    @capability(effect=Effect.READS, title="Count")
    async def count(context: Context, names: list[str] | None = None) -> Picture:
        return Picture(text=str(names))

    assert (await count.invoke(Context(), {"names": "prod, old"})).text == "['prod, old']"
    assert (await count.invoke(Context(), {"names": '["a", "b"]'})).text == "['a', 'b']"
    assert (await count.invoke(Context(), {"names": ""})).text == "None"
    assert (await paint.invoke(Context(), {"thing": "door", "parts": {"name": "leg"}})).text == (
        "door red 1"
    )


async def test_an_optional_argument_that_is_null_or_empty_is_left_out() -> None:
    @capability(effect=Effect.READS, title="Look")
    async def look(context: Context, text: str, task: str | None = None, limit: int = 3) -> Picture:
        return Picture(text=f"{text} {task} {limit}")

    for empty in (None, ""):
        answer = await look.invoke(Context(), {"text": "", "task": empty, "limit": empty})
        assert answer.text == " None 3"


async def test_an_object_of_any_names_is_taken_as_an_object_and_as_its_schema_says() -> None:
    @capability(effect=Effect.READS, title="Weigh")
    async def weigh(context: Context, weights: dict[str, int]) -> Picture:
        return Picture(text=str(weights))

    schema = weigh.input_schema["properties"]
    assert isinstance(schema, dict)
    assert isinstance(schema["weights"], dict)
    assert schema["weights"]["type"] == "array"
    pairs: list[JsonValue] = [{"name": "a", "value": 1}, {"name": "b", "value": 2}]
    forms: list[JsonValue] = [{"a": 1, "b": 2}, pairs, json.dumps(pairs)]
    for weights in forms:
        assert (await weigh.invoke(Context(), {"weights": weights})).text == "{'a': 1, 'b': 2}"
    with pytest.raises(InvalidArguments):
        await weigh.invoke(Context(), {"weights": [*pairs, {"name": "a", "value": 3}]})


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ("[1", "'parts' is wrong"),
        ("leg", "'parts[0]' is wrong"),
        (True, "'parts[0]' is wrong"),
        ('[{"size": 2}]', "'parts[0].name' is missing"),
        ([{"name": None}], "'parts[0].name' is wrong"),
    ],
)
async def test_text_that_means_no_list_is_refused_as_ever(parts: JsonValue, problem: str) -> None:
    with pytest.raises(InvalidArguments) as refusal:
        await paint.invoke(Context(), {"thing": "door", "parts": parts})
    assert problem in str(refusal.value)


async def test_text_that_looks_like_a_list_stays_text_where_text_is_wanted() -> None:
    assert (await paint(Context(), thing='["a"]')).text == '["a"] red 0'
    assert (await paint.invoke(Context(), {"thing": '["a"]'})).text == '["a"] red 0'


async def test_a_number_given_for_a_text_is_taken_as_text() -> None:
    assert (await paint.invoke(Context(), {"thing": 162097665378})).text == "162097665378 red 0"


def test_an_approvals_id_alone_is_a_call_so_only_what_needs_no_approval_requires_arguments() -> (
    None
):
    @capability(effect=Effect.READS, title="Look")
    async def look(context: Context, thing: str, near: bool = False) -> Picture:
        return Picture(text=thing)

    assert look.input_schema["required"] == ["thing"]
    assert paint.proposes
    assert "required" not in paint.input_schema


LIMITS = ("limit_usd", "limit_tokens", "limit_calls", "limit_seconds")


def test_the_schema_has_no_titles_or_references_and_describes_each_argument() -> None:
    text = str(paint.input_schema)
    assert "'title'" not in text
    assert "$ref" not in text
    assert "additionalProperties" not in text
    properties = paint.input_schema["properties"]
    assert isinstance(properties, dict)
    assert list(properties) == ["thing", "colour", "parts", "approval_id", "wait_s", *LIMITS]


def test_only_what_proposes_takes_an_approval_and_only_a_job_takes_limits() -> None:
    @capability(effect=Effect.READS, title="Look")
    async def look(context: Context) -> Picture:
        return Picture(text="")

    @capability(effect=Effect.DESTROYS, title="Wipe")
    async def wipe(context: Context) -> Proposal[Picture]:
        raise NotImplementedError

    values = wipe.input_schema["properties"]
    assert isinstance(values, dict)
    assert list(values) == ["approval_id"]
    assert wipe.result is look.result is Picture

    values = look.input_schema["properties"]
    assert isinstance(values, dict)
    assert list(values) == ["detail"]


async def test_an_argument_that_may_be_null_reads_as_one_that_may_be_left_out() -> None:
    @capability(effect=Effect.READS, title="Look")
    async def look(
        context: Context, size: Annotated[int | None, Field(description="How big.")] = None
    ) -> Picture:
        return Picture(text=str(size))

    properties = look.input_schema["properties"]
    assert isinstance(properties, dict)
    assert properties["size"] == {"type": "integer", "description": "How big."}
    assert (await look.invoke(Context(), {"size": None})).text == "None"


@capability(effect=Effect.READS, title="Weigh")
async def weigh(
    context: Context,
    load: Annotated[float | None, Field(description="In kilograms.")] = None,
    pieces: Annotated[list[Part] | None, Field(description="Its parts.")] = None,
    notes: Annotated[dict[str, JsonValue] | None, Field(description="Anything.")] = None,
) -> Picture:
    """Weigh a thing."""
    return Picture(text=f"{load} {notes}")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"load": float("nan")}, "'load' is wrong: it is no finite number (given: nan)"),
        ({"load": "inf"}, "'load' is wrong: it is no finite number (given: inf)"),
        (
            {"notes": {"a": [1, 1e999]}},
            "'notes.a[1]' is wrong: it is no finite number (given: inf)",
        ),
        ({"load": True}, "'load' is wrong: it has to be a number (given: True)"),
        (
            {"pieces": [{"name": "x", "size": True}]},
            "'pieces[0].size' is wrong: it has to be a number (given: True)",
        ),
        (
            {"pieces": [{"name": "a\ud800"}]},
            "'pieces[0].name' is wrong: it holds a lone surrogate (given: 'a\\ud800')",
        ),
    ],
)
async def test_what_nobody_means_is_refused_at_any_depth(
    arguments: dict[str, JsonValue], problem: str
) -> None:
    with pytest.raises(InvalidArguments) as refusal:
        await weigh.invoke(Context(), arguments)
    assert [str(one) for one in refusal.value.problems] == [f"The argument {problem}."]


async def test_true_stays_true_where_anything_may_be_given() -> None:
    assert (await weigh.invoke(Context(), {"notes": {"a": True}})).text == "None {'a': True}"


async def test_what_a_record_refuses_is_a_sentence_but_not_what_our_own_answer_does() -> None:
    @capability(effect=Effect.WRITES, title="Make")
    async def make(context: Context, kind: str) -> Picture:
        if kind == "task":
            Task(name="T", instruction="")
        if kind == "output":
            TaskOutput.model_validate({"output": None})
        return Picture.model_validate({"wrong": kind})

    for kind, sentence in (
        ("task", "make stopped: this task cannot be saved: instruction: it is empty."),
        ("output", "make stopped: this TaskOutput cannot be saved: output: it is no text."),
    ):
        with pytest.raises(Refusal, match=sentence):
            await make.invoke(Context(), {"kind": kind})
        with pytest.raises(Refusal, match=sentence):
            await make(Context(), kind)
    with pytest.raises(ValidationError):
        await make.invoke(Context(), {"kind": "answer"})
