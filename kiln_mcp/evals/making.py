"""Making the records of this room: run configs, evals and evaluators."""

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.parts import tag_of
from kiln_mcp.evals.arguments import NewEval, ScoreDefinition
from kiln_mcp.evaluators.arguments import CodeCheck, Evaluator
from storage import (
    Eval,
    EvalOutputScore,
    TaskRunSplit,
)


def make_eval(name: str, wanted: NewEval) -> Eval:
    """Return an eval; without filters its items are the runs with a tag made from its name.

    `with_items` chooses the filters that are not given.
    """
    slug = tag_of(name)
    scores = wanted.scores or [ScoreDefinition(name=name[:32].strip())]
    test = wanted.test_filter or f"tag::eval_{slug}"
    named = {"test": test, "train": wanted.train_filter, "val": wanted.val_filter}
    return Eval(
        name=name,
        output_scores=tuple(
            EvalOutputScore(name=s.name, instruction=s.instruction, type=s.type) for s in scores
        ),
        # Both, so that older programs find their items too.
        eval_set_filter_id=test,
        splits={part: TaskRunSplit(filter_id=chosen) for part, chosen in named.items() if chosen},
        eval_configs_filter_id=wanted.golden_filter or f"tag::golden_{slug}",
    )


def plan_of_evaluator(evaluator: Evaluator, name: str, eval_name: str) -> Plan:
    """Return what a person is asked before an evaluator is saved; only code needs a yes."""
    code = evaluator.code if isinstance(evaluator, CodeCheck) else ""
    runs = " Its code can run on this machine:" if code else ""
    return Plan(f"Add the evaluator {name!r} to the eval {eval_name!r}.{runs}", code=code)
