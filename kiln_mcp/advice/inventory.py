"""What a project holds, what is weak about it, and the best next step: pure, from counts."""

from collections.abc import Iterable
from dataclasses import dataclass

FEW_RATED = 30
"""Below this many rated items a judge's agreement has an interval wider than ± 0.15 or so."""

FEW_TEST = 60
"""Below this many test items a paired difference of 0.2 is usually not told from none."""


@dataclass(frozen=True, slots=True)
class EvalInventory:
    """What there is of one eval.

    Attributes:
        name: Its name.
        judges: How many judges it has.
        model_judges: How many of them ask a model: only these are compared with people's labels.
        calibrated: Whether a model judge was compared with them.
        test_items: Items of its test split.
        golden_items: Items of its golden set, that people rate.
        rated: Of the golden items, those with a rating for every score.
        one_sided: Whether all ratings of the golden set are alike.
        results: Results of run configs on it.
        compared: Run configs with results.
        unknown_filter: A filter of its test or golden items that is not known here.
    """

    name: str
    judges: int
    test_items: int
    golden_items: int
    rated: int
    one_sided: bool
    results: int
    compared: int
    model_judges: int
    calibrated: bool
    unknown_filter: str | None = None


@dataclass(frozen=True, slots=True)
class TaskInventory:
    """What there is of one task."""

    name: str
    runs: int
    specs: int
    run_configs: int
    prompts: int
    evals: tuple[EvalInventory, ...]


def weaknesses(task: TaskInventory) -> list[str]:
    """Return what is weak about a task's measurements, the gravest first."""
    found: list[str] = []
    if not task.evals:
        found.append(f"{task.name}: nothing is measured; it has no eval.")
    for one in task.evals:
        found.extend(f"{one.name}: {fault}" for fault in _eval_faults(one))
    return found


def _eval_faults(one: EvalInventory) -> Iterable[str]:
    if one.judges == 0:
        yield "it has no judge, so nothing can be scored."
    if one.unknown_filter is not None:
        yield (
            f"the filter {one.unknown_filter!r} of its items is not known here, so none are found."
        )
    elif one.test_items == 0:
        yield "its test split is empty."
    elif one.test_items < FEW_TEST:
        yield (
            f"its test split has {one.test_items} items; below {FEW_TEST} only large differences "
            "between prompts or models can be told from chance."
        )
    if one.judges and not one.model_judges:
        return  # checks that ask no model are right by their definition
    if one.golden_items and one.rated == 0:
        yield f"none of its {one.golden_items} golden items is rated: its judges are unchecked."
    elif 0 < one.rated < FEW_RATED:
        yield f"only {one.rated} golden items are rated: judges' agreement is known coarsely."
    if one.rated and one.one_sided:
        yield "all ratings are alike: they cannot tell a good judge from a constant answer."
    if one.results and not one.rated:
        yield f"{one.compared} run configs were scored by a judge that nobody has checked."


def next_step(task: TaskInventory) -> str:
    """Return the one call that helps most now, as a sentence that names the capability."""
    if not task.evals:
        if task.specs:
            return "create_evaluator: turn the spec into something that can be measured."
        return "draft_spec: say in one sentence what a good answer is."
    scored = [one for one in task.evals if one.judges]
    if not scored:
        return "create_evaluator: give the eval a judge or a deterministic check."
    if not any(one.test_items for one in scored):
        return "add_items or generate_data, then split_data: the evals have no test items."
    by_model = [one for one in scored if one.model_judges]
    unchecked = [one for one in by_model if one.golden_items and one.rated < FEW_RATED]
    if unchecked:
        return f"label_items: rate golden items of '{unchecked[0].name}', then measure_agreement."
    if task.run_configs == 0:
        return "create_run_config: name the prompt and model to measure."
    if not any(one.results for one in scored):
        return "run_eval: measure the run configs on the test split."
    if any(one.rated and not one.calibrated for one in by_model):
        return "measure_agreement: see whether the judges may be trusted before you optimise."
    return "evolve_prompt: search for a better prompt and measure it on held-out items."
