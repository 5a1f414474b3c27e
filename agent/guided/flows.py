"""The flows: what each asks, and the calls that the answers are for."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import JsonValue

Answers = Mapping[str, JsonValue]
Calls = Sequence[tuple[str, dict[str, JsonValue]]]
AnswerKind = Literal["text", "number", "choice", "list"]
FEWEST_EXAMPLES: Final = 4
"""Fewer inputs are no list that the embedded model goes on with."""
_SHARES: Final = {"train": 30, "val": 20, "test": 20, "golden": 30}
"""Parts in per cent: of few items, those that a person labels are more than usual."""
_WORD: Final = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a flow.

    Attributes:
        argument: What the answer is called.
        words: The question.
        kind: What it takes: a list has semicolons between its entries, and a choice is yes or no.
        is_optional: Whether "-" leaves it out.
        options: What its options are names of; empty if it has none.
        first: The flow that makes the first option; empty if the person may name others.
        fewest: The smallest number, or the fewest entries of a list.
    """

    argument: str
    words: str
    kind: AnswerKind = "text"
    is_optional: bool = False
    options: str = ""
    first: str = ""
    fewest: int = 0


def _own_call(flow: "Flow", answers: Answers) -> Calls:
    return [(flow.tool, dict(answers))]


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow.

    Attributes:
        name: Chooses it.
        title: What it is for.
        tool: Does what the flow is for.
        questions: What it asks.
        next_step: How the person goes on after it.
        calls: Returns the calls that the answers are for.
    """

    name: str
    title: str
    tool: str
    questions: tuple[Question, ...]
    next_step: str
    calls: Callable[["Flow", Answers], Calls] = _own_call


def _spec_calls(flow: Flow, answers: Answers) -> Calls:
    """Return the call that drafts specs; saved at once, open points are assumed."""
    arguments = dict(answers)
    if arguments.pop("save", False):
        arguments |= {"save": True, "answers": "assume"}
    return [(flow.tool, arguments)]


def _check_calls(flow: Flow, answers: Answers) -> Calls:
    """Return the calls that deal the items to the eval's parts, and set up the eval."""
    arguments = dict(answers)
    words, text = arguments.pop("words", None), arguments.pop("text", None)
    split: dict[str, JsonValue] = {
        "project": arguments["project"],
        "name": "_".join(_WORD.findall(str(arguments["eval"]).casefold())) or "items",
        **_SHARES,
    }
    if words is not None:
        arguments |= {"type": "number_check", "settings": {"measure": "words", "at_most": words}}
    elif text is not None:
        arguments |= {"type": "contains", "substring": text}
    else:
        arguments["type"] = "llm_judge"
    return [("split_data", split), (flow.tool, arguments)]


_PROJECT: Final = Question("project", "Which project? Its name or folder.", options="project")
_EVAL: Final = Question("eval", "Which eval?", options="eval", first="check")
FLOWS: Final = (
    Flow(
        "project",
        "begin a project, which all of these need",
        "create_project",
        (
            Question("name", "What is it called?"),
            Question("task", "What does your AI feature do? Two or three words."),
            Question("instruction", "What is it told? Its prompt."),
            Question("folder", "In which folder? Its whole path, or -.", is_optional=True),
        ),
        "spec says what a good answer is.",
    ),
    Flow(
        "spec",
        "say what a good answer is",
        "build_spec",
        (
            _PROJECT,
            Question("wish", "What should answers do, or not do? One sentence."),
            Question(
                "save",
                "Save it at once, with open points assumed? yes, or no: /spec goes on with it.",
                "choice",
            ),
        ),
        "generate makes inputs to try it on. A spec that is not saved waits for /spec.",
        _spec_calls,
    ),
    Flow(
        "generate",
        "make test data",
        "generate_data",
        (
            _PROJECT,
            Question(
                "examples",
                f"What do your users write? {FEWEST_EXAMPLES} inputs or more, with ; between them.",
                "list",
                fewest=FEWEST_EXAMPLES,
            ),
            Question("count", "How many items? Or -.", "number", is_optional=True, fewest=1),
        ),
        "a job may go on, whose end is shown here. Then check says how outputs are checked.",
    ),
    Flow(
        "check",
        "deal the data to parts, and decide how outputs are checked",
        "create_evaluator",
        (
            _PROJECT,
            Question("eval", "What is the new eval called?"),
            Question("spec", "Which spec does it measure? Or -.", is_optional=True, options="spec"),
            Question("words", "At most how many words? Or -.", "number", is_optional=True),
            Question(
                "text",
                "Which text must each output hold? With - here too, it is a judge: your labels "
                "count, but I cannot judge.",
                is_optional=True,
            ),
        ),
        "label takes your labels, and optimise searches for a better prompt.",
        _check_calls,
    ),
    Flow(
        "label",
        "draw items and label them",
        "draw_items_to_label",
        (
            _PROJECT,
            _EVAL,
            Question("count", "How many items? Or -.", "number", is_optional=True, fewest=1),
        ),
        "/label takes up the items that have no label yet, and /align checks the judge by labels.",
    ),
    Flow(
        "optimise",
        "search for a better prompt",
        "improve_prompt",
        (
            _PROJECT,
            _EVAL,
            Question("start", "From which run config?", options="run_config", first="generate"),
            Question(
                "max_calls", "At most how many calls? 16 or more, or -.", "number",
                is_optional=True, fewest=16,
            ),
        ),
        "a job may go on, whose end is shown here. Then /compare shows whether it is better.",
    ),
)  # fmt: skip


def flow_of(words: str) -> Flow | None:
    """Return the flow of a number or a name."""
    for number, flow in enumerate(FLOWS, 1):
        if words.strip().casefold().removeprefix("/") in {str(number), flow.name}:
            return flow
    return None
