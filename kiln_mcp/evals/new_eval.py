"""The record of a new eval, and the plan of adding an evaluator to it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.parts import eval_tag, part_filter, tag_filter, tag_of
from kiln_mcp.evals.arguments import LONGEST_SCORE_NAME, NewEval, ScoreDefinition
from kiln_mcp.evaluators.evaluator import EvaluatorDefinition
from kiln_mcp.evaluators.program_gaps import gaps_in_words
from storage import (
    Eval,
    EvalOutputScore,
    TaskRunSplit,
)
from storage.records.evaluation import score_key

NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


def make_eval(name: str, definition: NewEval, field_names: Mapping[str, str] = NO_FIELDS) -> Eval:
    """Return an eval; without filters its items are the runs with a tag made from its name.

    `with_items` chooses the filters that the definition lacks.

    Args:
        name: What to call it.
        definition: Its scores and filters.
        field_names: Fields of the output by the names of their scores; without scores each gets
            one, beside the whole output's.
    """
    slug = tag_of(name)
    scores = definition.scores or _usual_scores(name, field_names)
    test = definition.test_filter or tag_filter(eval_tag(slug))
    filters = {"test": test, "train": definition.train_filter, "val": definition.val_filter}
    return Eval(
        name=name,
        output_scores=tuple(
            EvalOutputScore(name=s.name, instruction=s.instruction, type=s.type) for s in scores
        ),
        # Both, so that older programs find their items too.
        eval_set_filter_id=test,
        splits={
            part: TaskRunSplit(filter_id=filter_id)
            for part, filter_id in filters.items()
            if filter_id
        },
        eval_configs_filter_id=definition.golden_filter or part_filter("golden", slug),
    )


def _usual_scores(name: str, field_names: Mapping[str, str]) -> list[ScoreDefinition]:
    """Return a score for the whole output, and one for each field of it."""
    taken_keys = set(map(score_key, field_names))
    whole_name = name[:LONGEST_SCORE_NAME].strip()
    if score_key(whole_name) in taken_keys:
        whole_name = "Whole output"
    fields = [
        ScoreDefinition(name=score, instruction=f"The field {field} agrees with the reference.")
        for score, field in field_names.items()
    ]
    return [ScoreDefinition(name=whole_name), *fields]


async def plan_of_evaluator(evaluator: EvaluatorDefinition, name: str, eval_name: str) -> Plan:
    """Return what a person is asked before an evaluator is saved; only code needs a yes."""
    code = evaluator.program
    runs = f"{await gaps_in_words()} Its code can run on this machine:" if code else ""
    return Plan(f"Add the evaluator {name!r} to the eval {eval_name!r}.{runs}", code=code)
