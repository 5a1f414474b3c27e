"""The weaknesses of a task and the best next steps, from counts alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.datasets.sample_sizes import ADVISED_TEST_ITEMS, WIDE_INTERVAL_ITEMS
from kiln_mcp.evaluators.check_suggestions import check_step
from kiln_mcp.spec_texts.check_hints import CheckHint
from storage.errors import NextStep
from storage.text.excerpts import excerpt

_LONGEST_WISH: Final = 60
USUAL_TARGET: Final = 0.85
"""The agreement with people that a certificate is usually asked for."""


@dataclass(frozen=True, slots=True)
class EvalInventory:
    """The counts of one eval.

    Attributes:
        name: Its name.
        evaluators: How many evaluators it has.
        model_judges: How many of them ask a model. Only these are compared with people's labels.
        has_agreement: Whether a model judge was compared with people's labels.
        test_items: Items of its test part.
        golden_items: Items of its golden set, which people rate.
        rated_items: Of the golden items, those with a rating for every score.
        one_sided: Whether all ratings of the golden set are alike.
        results: Results of run configs on it.
        result_run_configs: Run configs with results.
        unknown_filter: A filter of its test or golden items that this program cannot read.
        stale_judges: Judges that were compiled from a spec which says something else now.
        changed_spec: The name of the spec of the first stale judge; None if none is stale.
        label_faults: Why the labels of its golden set can measure no judge.
        shared_inputs: Inputs of its test part that are also in the train or val part.
        uncertified_judges: Model judges in use without a certificate.
    """

    name: str
    evaluators: int
    test_items: int
    golden_items: int
    rated_items: int
    one_sided: bool
    results: int
    result_run_configs: int
    model_judges: int
    has_agreement: bool
    unknown_filter: str | None = None
    stale_judges: tuple[str, ...] = ()
    changed_spec: str | None = None
    label_faults: tuple[str, ...] = ()
    shared_inputs: int = 0
    uncertified_judges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session about specs that waits: its id, its wish, and how many questions are open."""

    id: str
    wish: str
    questions: int


@dataclass(frozen=True, slots=True)
class TaskInventory:
    """The counts of one task.

    Attributes:
        only_run_config: Its run config, if it has just one.
        check_hints: Clauses of its specs that a check could decide.
        sessions: Sessions about specs with something that is not saved, the newest last.
    """

    name: str
    runs: int
    specs: int
    run_configs: int
    prompts: int
    evals: tuple[EvalInventory, ...]
    inputs: int = 0
    only_run_config: str | None = None
    check_hints: tuple[CheckHint, ...] = ()
    sessions: tuple[OpenSession, ...] = ()

    @property
    def check_steps(self) -> list[NextStep]:
        """The call that creates a check for a clause, as long as judges alone measure the task."""
        has_check = any(counts.evaluators > counts.model_judges for counts in self.evals)
        return [] if has_check else [check_step(hint) for hint in self.check_hints[:1]]


def weaknesses(task: TaskInventory) -> list[str]:
    """Return the weaknesses of a task's measurements, the gravest first."""
    if not task.evals:
        return [f"{task.name}: nothing is measured; it has no eval."]
    return [
        f"{counts.name}: {fault}"
        for counts in task.evals
        for fault in (*_eval_faults(counts), *_trust_faults(counts))
    ]


def _trust_faults(counts: EvalInventory) -> Iterable[str]:
    """Yield why numbers of an eval that has all it needs may mislead."""
    if counts.shared_inputs:
        yield (
            f"{counts.shared_inputs} inputs of its test part are also in the parts that prompts "
            "learn from, so its scores are too good."
        )
    for fault in counts.label_faults:
        yield f"its labels can measure no judge: {fault}"
    for name in counts.stale_judges:
        yield f"its judge {name!r} is stale: the spec that it was compiled from has changed."
    if counts.has_agreement and not counts.label_faults:
        for name in counts.uncertified_judges:
            yield (
                f"its judge {name!r} has no certificate, so how far it agrees with people is an "
                "estimate from labels that may have been chosen."
            )


def _eval_faults(counts: EvalInventory) -> Iterable[str]:
    if counts.evaluators == 0:
        yield "it has no evaluator, so nothing can be scored."
    if counts.unknown_filter is not None:
        yield (
            f"this program cannot read the filter {counts.unknown_filter!r} of its items, so it "
            "has none."
        )
    elif counts.test_items == 0:
        yield "its test part is empty."
    elif counts.test_items < ADVISED_TEST_ITEMS:
        yield (
            f"its test part has {counts.test_items} items; below {ADVISED_TEST_ITEMS} only large "
            "differences between prompts or models can be told from chance."
        )
    if counts.evaluators and not counts.model_judges:
        return  # checks that ask no model are right by their definition
    if counts.golden_items and counts.rated_items == 0:
        yield f"none of its {counts.golden_items} golden items is rated: nobody checked its judges."
    elif 0 < counts.rated_items < WIDE_INTERVAL_ITEMS:
        yield (
            f"only {counts.rated_items} golden items are rated: the agreement of its judges has a "
            "wide interval."
        )
    if counts.rated_items and counts.one_sided:
        yield "all ratings are alike: they cannot tell a good judge from a constant answer."
    if counts.results and not counts.rated_items:
        yield (
            f"{counts.result_run_configs} run configs were scored by a judge that nobody has "
            "checked."
        )


def next_steps(task: TaskInventory) -> list[NextStep]:
    """Return the calls that help most now, in their order."""
    return [*_session_steps(task), *_measuring_steps(task)]


def _session_steps(task: TaskInventory) -> list[NextStep]:
    """Return the call that goes on with the session about specs that was left last."""
    return [
        NextStep(
            tool="build_spec",
            reason=f"go on with {excerpt(session.wish or 'a spec', _LONGEST_WISH)!r}, which is not "
            f"saved ({session.questions} open questions)",
            arguments={"session": session.id},
        )
        for session in task.sessions[-1:]
    ]


def _measuring_steps(task: TaskInventory) -> list[NextStep]:
    if not task.evals:
        return [*task.check_steps, _begin_eval(task)]
    with_evaluators = [inventory for inventory in task.evals if inventory.evaluators]
    if not with_evaluators:
        return [
            *task.check_steps,
            NextStep(
                tool="create_evaluator",
                reason="give the eval a judge, or a check that asks no model",
                arguments={"eval": task.evals[0].name},
            ),
        ]
    if not any(inventory.test_items for inventory in with_evaluators):
        return [
            NextStep(tool="add_data", reason="bring items of your own for the evals"),
            NextStep(tool="generate_data", reason="or generate them"),
            NextStep(tool="split_data", reason="then deal them into parts"),
        ]
    return [_measure(task, with_evaluators), *_certify(with_evaluators), *task.check_steps]


def _begin_eval(task: TaskInventory) -> NextStep:
    if task.specs:
        return NextStep(tool="create_evaluator", reason="measure outputs by the spec")
    return NextStep(tool="build_spec", reason="describe a good answer in one sentence, as `wish`")


def _mend(inventory: EvalInventory) -> NextStep | None:
    """Return the call that mends what makes an eval's numbers mislead; None if nothing does."""
    if inventory.label_faults:
        return NextStep(
            tool="draw_items_to_label",
            reason="show a person the labels in doubt again, blind: it tells whether the labels "
            "or the judges are at fault",
            arguments={"eval": inventory.name, "purpose": "second_look"},
        )
    if inventory.changed_spec is not None:
        return NextStep(
            tool="build_spec",
            reason="save the changed spec with a judge of its own: it tells which labels flip",
            arguments={"spec": inventory.changed_spec},
        )
    if inventory.shared_inputs:
        return NextStep(
            tool="report_data",
            reason="see what the parts have in common, then deal them again: it tells how far "
            "scores on the test part can be believed",
        )
    return None


def _certify(with_evaluators: Sequence[EvalInventory]) -> list[NextStep]:
    """Return the call that certifies the first judge that was only compared with labels."""
    return [
        NextStep(
            tool="check_judge",
            reason="certify its judge by items drawn at random: it tells how far the numbers of "
            "this eval can be trusted",
            arguments={"eval": inventory.name, "target": USUAL_TARGET},
        )
        for inventory in with_evaluators
        if inventory.uncertified_judges and inventory.has_agreement and _mend(inventory) is None
    ][:1]


def _measure(task: TaskInventory, with_evaluators: Sequence[EvalInventory]) -> NextStep:
    """Return the next call for a task whose evals have judges and items."""
    with_models = [inventory for inventory in with_evaluators if inventory.model_judges]
    for inventory in with_models:
        if inventory.golden_items and inventory.rated_items < WIDE_INTERVAL_ITEMS:
            return NextStep(
                tool="draw_items_to_label",
                reason="draw golden items for a person to rate, then measure the judges",
                arguments={"eval": inventory.name},
            )
        if (mending := _mend(inventory)) is not None:
            return mending
    if task.run_configs == 0:
        return NextStep(tool="create_run_config", reason="name the prompt and model to measure")
    if not any(inventory.results for inventory in with_evaluators):
        return NextStep(
            tool="run_eval",
            reason="measure the run configs on the test part",
            arguments={"eval": with_evaluators[0].name},
        )
    for inventory in with_models:
        if inventory.rated_items and not inventory.has_agreement:
            return NextStep(
                tool="check_judge",
                reason="measure whether the judges can be trusted, before you optimise",
                arguments={"eval": inventory.name},
            )
    start = {} if task.only_run_config is None else {"start": task.only_run_config}
    return NextStep(
        tool="improve_prompt",
        reason="search for a better prompt, and measure it on held-out items",
        arguments={"eval": with_evaluators[0].name, **start},
    )
