"""Name the calls that help if a record does not exist."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from storage.errors import NextStep, RecordNotFound
from storage.text.kind_words import kind_word

_LISTS: Final[Mapping[str, NextStep]] = {
    "task": NextStep(tool="describe_project", reason="list the tasks"),
    "run": NextStep(tool="find", reason="list the runs with their ids"),
    "eval": NextStep(tool="show_results", reason="list the evals"),
    "evaluator": NextStep(tool="show_results", reason="list the evals and their evaluators"),
    "deleted_record": NextStep(
        tool="find", reason="list what can be restored", arguments={"kind": "trash"}
    ),
    "change": NextStep(tool="show_history", reason="list the changes"),
    "conflict": NextStep(tool="sync_project", reason="list the open conflicts"),
    "job": NextStep(tool="check_job", reason="list the newest jobs"),
}
"""The call that lists the records of a kind; all others are listed by their kind."""
_ANY_KIND: Final = NextStep(tool="find", reason="list them with their names and ids")
_SOURCES: Final[Mapping[str, NextStep]] = {
    "task": NextStep(tool="create_project", reason="add one to it, as `task` and `instruction`"),
    "run": NextStep(tool="add_data", reason="bring in runs"),
    "run_config": NextStep(tool="create_run_config", reason="create one"),
    "spec": NextStep(tool="build_spec", reason="draft one from a sentence, as `wish`"),
    "eval": NextStep(tool="create_evaluator", reason="create an `eval` with its first evaluator"),
    "evaluator": NextStep(tool="create_evaluator", reason="create one"),
    "eval_result": NextStep(tool="run_eval", reason="make results"),
    "dataset_split": NextStep(tool="split_data", reason="freeze a split with `freeze`"),
}
"""The call that creates the first record of a kind."""
_OVERVIEW: Final = NextStep(tool="describe_project", reason="show what the project holds")
_WITHOUT_LIST: Final = frozenset({"attachment", "choice", "project"})


def calls_that_help(error: RecordNotFound, arguments: Mapping[str, JsonValue]) -> list[NextStep]:
    """Return the call that lists valid records, or creates the first one; [] if none helps.

    Args:
        error: The error of a lower room, which knows no tools.
        arguments: The arguments of the call that failed.
    """
    kind = kind_word(error.kind).replace(" ", "_")
    project = arguments.get("project")
    if error.next or kind in _WITHOUT_LIST or (kind == "job" and not error.count):
        return []
    step = _SOURCES.get(kind, _OVERVIEW) if error.names == () else _list_of(kind)
    place = {} if project is None or kind == "job" else {"project": project}
    certain = {**place, **(step.arguments or {})}
    return [step.model_copy(update={"arguments": certain or None})]


def _list_of(kind: str) -> NextStep:
    step = _LISTS.get(kind)
    return step or _ANY_KIND.model_copy(update={"arguments": {"kind": kind}})
