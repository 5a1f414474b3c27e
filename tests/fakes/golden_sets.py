"""Golden sets for tests, built from records that no project holds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.ledger import Draw, DrawnStratum, Label, Purpose, State
from storage import Eval, EvalOutputScore, Task
from storage.index.results import RatedItem

START = datetime(2026, 1, 1, tzinfo=UTC)
RIGHT = EvalOutputScore(name="Right", type="pass_fail")
STARS = EvalOutputScore(name="Tone", type="five_star")


def item(name: str, rating: float | None = None, session: str | None = None) -> RatedItem:
    """Return a golden item, with a person's rating of `Right` if there is one."""
    return RatedItem(
        id=name,
        path=f"runs/{name}/task_run.kiln",
        ratings={} if rating is None else {"named::Right": rating},
        rated_at=START,
        tag=session,
    )


def draw_of(
    name: str,
    *items: str,
    evaluator: str | None = "judge",
    size: int = 10,
    purpose: Purpose = "certificate",
    rater: str = "",
) -> Draw:
    """Return a draw of items from the stratum `right 1`."""
    stratum = DrawnStratum(size=size, open=size, drawn=items)
    return Draw(
        at=START,
        id=name,
        seed=0,
        purpose=purpose,
        evaluator=evaluator,
        strata={"right 1": stratum},
        rater=rater,
    )


def label_of(
    name: str,
    value: float | None,
    *,
    state: State = "value",
    reason: str = "",
    purpose: Purpose = "certificate",
    confirmed: bool = True,
    draw: str | None = "d1",
    minute: int = 0,
    rater: str = "ann",
) -> Label:
    """Return a label of `Right`."""
    return Label(
        at=START + timedelta(minutes=minute),
        item=name,
        score="right",
        value=value,
        state=state,
        reason=reason,
        rater=rater,
        purpose=purpose,
        draw=draw,
        stratum="right 1" if draw else None,
        confirmed=confirmed,
    )


def golden_set_of(
    runs: Sequence[RatedItem],
    labels: Sequence[Label] = (),
    draws: Sequence[Draw] = (),
    scores: tuple[EvalOutputScore, ...] = (RIGHT,),
) -> GoldenSet:
    """Return a golden set."""
    record = Eval(name="Right", output_scores=scores, eval_set_filter_id="tag::test")
    task_eval = TaskEval(Task(name="Name", instruction="Name one."), record)
    return GoldenSet(task_eval, runs, labels, draws)


def pass_of(*golden_sets: GoldenSet) -> LabellingPass:
    """Return a reading that serves the evals of golden sets."""
    return LabellingPass(golden_sets)
