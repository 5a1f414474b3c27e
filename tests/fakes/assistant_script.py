"""A session that an assistant plays: from nothing to a spec and an eval with results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CREATE_PROJECT: Final = "create_project"
BUILD_SPEC: Final = "build_spec"
ADD_DATA: Final = "add_data"
SPLIT_DATA: Final = "split_data"
CREATE_RUN_CONFIG: Final = "create_run_config"
CREATE_EVALUATOR: Final = "create_evaluator"
RUN_EVAL: Final = "run_eval"
SHOW_RESULTS: Final = "show_results"
"""The tools by what they do here; other names stand in one place."""
ITEMS: Final = 4
SPEC: Final[Mapping[str, object]] = {
    "kind": "desired_behaviour",
    "name": "No unfounded refunds",
    "priority": 1,
    "tags": [],
    "clauses": [{"text": "The reply promises no refund.", "is_assumed": False}],
    "examples": [
        {"input": "", "output": "We look into your order.", "verdict": "pass", "reason": ""},
        {"input": "", "output": "Your money is on its way.", "verdict": "fail", "reason": ""},
    ],
    "assumptions": [],
}
ANSWERS: Final[Mapping[str, Mapping[str, object]]] = {
    "specs": {"specs": [SPEC], "omissions": []},
    "findings": {"findings": []},
    "checks": {"checks": []},
    "questions": {"questions": []},
}
"""What the server's own model answers, by a property of the schema that it is asked in."""
REPLY: Final = "Dear customer, your order is looked into."


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a tool."""

    tool: str
    arguments: Mapping[str, Any]


def session(project: Path) -> Sequence[Step]:
    """Return the calls that build a spec and run an eval in a new project."""
    where = {"project": str(project)}
    items = [
        {
            "input": f"Where is my parcel {number * 11}, and who pays for {cause}?",
            "output": f"Dear customer, the {cause} is looked into.",
        }
        for number, cause in enumerate(("rain", "fire", "theft", "delay")[:ITEMS])
    ]
    return (
        Step(
            CREATE_PROJECT,
            {
                "name": "Support",
                "folder": str(project),
                "task": "Reply",
                "instruction": "Answer customers politely.",
            },
        ),
        Step(BUILD_SPEC, where | {"wish": "It never promises a refund.", "save": True}),
        Step(ADD_DATA, where | {"items": items}),
        Step(SPLIT_DATA, where | {"name": "refunds", "test": 100}),
        Step(CREATE_RUN_CONFIG, where | {"name": "As it is"}),
        Step(
            CREATE_EVALUATOR,
            where | {"eval": "refunds", "type": "contains", "substring": "Dear customer"},
        ),
        Step(RUN_EVAL, where | {"eval": "refunds"}),
        Step(SHOW_RESULTS, where | {"eval": "refunds"}),
    )


def answer_as_model(schema: Mapping[str, Any] | None) -> str:
    """Return what the model that the server itself asks answers."""
    if schema is None:
        return REPLY
    return json.dumps(next(ANSWERS[name] for name in ANSWERS if name in schema["properties"]))


def saved_records(project: Path) -> tuple[int, int]:
    """Return how many specs and how many results a project's files hold."""
    specs = list(project.glob("tasks/*/specs/*/spec.kiln"))
    results = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in project.glob("tasks/*/evals/*/configs/*/runs/*/eval_run.kiln")
    ]
    return len(specs), sum(bool(result["scores"]) for result in results)
