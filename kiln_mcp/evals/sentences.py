"""Warnings, refusals and next steps of the capabilities of this room."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import sqrt
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets.sample_sizes import WIDE_INTERVAL_ITEMS
from kiln_mcp.evals.answers import ScoreRow
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.measurement import Measurement, Repeats, VerdictPlan
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.evals.stored_outputs import StoredOutputs
from kiln_mcp.evaluators.check_suggestions import check_steps
from kiln_mcp.evaluators.scales import binary_scores
from kiln_mcp.llm import HOST, AnswerState
from kiln_mcp.statistics import detection_share
from storage import Eval, TaskRunConfig
from storage.errors import NextStep, Refusal
from storage.text.excerpts import excerpts

FEWEST_OF_ONE_KIND: Final = 3
_USUAL_GAIN: Final = 0.1
_USUAL_RATE: Final = 0.8
_STATE_SENTENCES: Final[Mapping[AnswerState, str]] = {
    "truncated": "answers were cut off at max_tokens: they have no score.",
    "refused": "answers were refusals, or were filtered: they have no score.",
    "empty": "answers were empty: they have no score.",
    "unreadable": "answers did not fit their schema: they have no score.",
}


def filter_of_test(eval_record: Eval) -> str:
    """Return the filter of an eval's test items; "" if it has none."""
    part = eval_record.part("test")
    return part.filter_id if part else ""


def after_evaluator(
    eval_record: Eval,
    *,
    items: int,
    is_judge: bool,
    steps: Sequence[str] = (),
    outputs: str | None = None,
) -> list[NextStep]:
    """Return the next steps after an evaluator was created.

    Args:
        eval_record: Its eval.
        items: Test items of the eval.
        is_judge: Whether it asks a model.
        steps: What a judge is to check, some of which a check may decide.
        outputs: The stored outputs to begin with; None if there are none.
    """
    if not items and outputs is not None:
        suggestions = check_steps(steps) if is_judge else []
        return [_judge_stored(eval_record, outputs), *suggestions]
    if not items:
        reason = f"no item fits {filter_of_test(eval_record)!r} yet: add items with that tag"
        return [
            NextStep(tool="add_data", reason=reason),
            NextStep(tool="split_data", reason="or deal the items that are there into parts"),
        ]
    if is_judge:
        return [
            *check_steps(steps),
            NextStep(tool="draw_items_to_label", reason="label items to check the judge"),
            NextStep(tool="check_judge", reason="compare the judge with people's labels"),
        ]
    return [
        NextStep(
            tool="run_eval", reason="measure a run config", arguments={"eval": eval_record.name}
        )
    ]


def _judge_stored(eval_record: Eval, outputs: str) -> NextStep:
    return NextStep(
        tool="run_eval",
        reason="see how often the stored outputs fail",
        arguments={"eval": eval_record.name, "outputs": outputs},
    )


def after_run(
    measurement: Measurement, lines: Sequence[ScoreRow], *, has_agreement: bool
) -> list[NextStep]:
    """Return the next steps after a run of an eval."""
    eval_name = measurement.eval_record.name
    look = NextStep(
        tool="show_results",
        reason="read what failed",
        arguments={"eval": eval_name, "items": "failures"},
    )
    arguments: dict[str, JsonValue]
    if len({line.run_config for line in lines}) > 1:
        arguments = {"eval": eval_name, "compare": ["all"]}
        reason = "test which run configs are better"
        step = NextStep(tool="show_results", reason=reason, arguments=arguments)
    else:
        arguments = {"eval": eval_name, **({"start": lines[0].run_config} if lines else {})}
        reason = "search for a better prompt"
        step = NextStep(tool="improve_prompt", reason=reason, arguments=arguments)
    if measurement.evaluator.model and not has_agreement:
        return [look, step, *_judge_check(eval_name)]
    return [look, step]


def after_comparison(measurement: Measurement) -> list[NextStep]:
    """Return the next steps after a comparison."""
    return _judge_check(measurement.eval_record.name) if measurement.evaluator.model else []


def _judge_check(eval_name: str) -> list[NextStep]:
    reason = "measure how far the judge agrees with people"
    return [NextStep(tool="check_judge", reason=reason, arguments={"eval": eval_name})]


def no_items(eval_record: Eval, name: str, outputs: str | None) -> NothingToEvaluate:
    """Return the error for a part without items.

    Args:
        eval_record: The eval.
        name: The part.
        outputs: The stored outputs that can be judged as they are; None if there are none.
    """
    part = eval_record.part(name)
    if part is None:
        names = ", ".join(eval_record.splits)
        return NothingToEvaluate(
            f"The eval {eval_record.name!r} has no part {name!r}. Choose one of: {names}."
        )
    return NothingToEvaluate(
        f"The part {name!r} of {eval_record.name!r} is empty: no item fits {part.filter_id!r}.",
        next=[
            *([_judge_stored(eval_record, outputs)] if outputs else []),
            NextStep(tool="add_data", reason="add items with that tag in `tags`"),
            NextStep(tool="split_data", reason="or deal the items that are there into parts"),
            NextStep(tool="create_evaluator", reason="then create an `eval` with another name"),
        ],
    )


def host_is_not_blind(clients: Collection[str]) -> str:
    """Return what to know about a judge that is the connected assistant.

    Args:
        clients: What the clients call themselves whose models judged, as far as they say.
    """
    names = f" ({excerpts(sorted(clients), limit=3)})" if clients else ""
    return (
        f"The judge is the connected assistant{names}, which is not blind: its context may hold "
        "the spec, the labels and earlier results. Judge in a fresh conversation, or with another "
        "model."
    )


def uniform_warnings(
    measurement: Measurement, outcome: RunOutcome, rows: Sequence[ScoreRow]
) -> list[str]:
    """Return the warning of a check that failed every output, which it may be right to do."""
    scores = binary_scores(measurement.eval_record.output_scores, passed=False)
    count = max((row.n for row in rows), default=0)
    is_judged = measurement.evaluator.model is not None
    if is_judged or count < FEWEST_OF_ONE_KIND or not outcome.new_verdicts:
        return []
    if any(row.mean != scores[row.score] for row in rows):
        return []
    return [
        f"Every output of {count} items failed. If that is not what you expect, read some and "
        "check the evaluator."
    ]


def plan_sentence(
    measurements: Sequence[Measurement],
    configs: Sequence[TaskRunConfig],
    items: int,
    repeats: Repeats,
) -> str:
    """Return what a run of an eval will do, for its plan."""
    ways = "1 run config" if len(configs) == 1 else f"{len(configs)} run configs"
    suffix = _how(measurements, repeats)
    sentence = f"Score {items} items for {ways} of {measurements[0].task.name!r}{suffix}."
    return f"{sentence} {_power_sentence(items)}" if items else sentence


def stored_plan_sentence(
    measurements: Sequence[Measurement], outputs: StoredOutputs, repeats: Repeats
) -> str:
    """Return what judging stored outputs will do, for its plan."""
    total = f" of {outputs.total}, drawn at random" if outputs.is_sample else ""
    return (
        f"Judge {len(outputs.runs)} stored outputs{total} ({outputs.name}) of "
        f"{measurements[0].task.name!r} as they are{_how(measurements, repeats)}. "
        f"{_width_sentence(len(outputs.runs), 'outputs')}."
    )


def _how(measurements: Sequence[Measurement], repeats: Repeats) -> str:
    parts = [
        f"by {len(measurements)} evaluators" if len(measurements) > 1 else "",
        f"{repeats.outputs} outputs an item" if repeats.outputs > 1 else "",
        f"{repeats.verdicts} verdicts an output" if repeats.verdicts > 1 else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _power_sentence(items: int) -> str:
    """Return how exact a pass rate of so many items is, and what a comparison can see."""
    share = detection_share(items, _USUAL_GAIN)
    return (
        f"{_width_sentence(items, 'items')}, and show a gain of 10 points over another run config "
        f"in about {share:.0%} of cases."
    )


def _width_sentence(count: int, noun: str) -> str:
    """Return how exact the rate of so many is, without the full stop."""
    half = min(0.5, 1.96 * sqrt(_USUAL_RATE * (1 - _USUAL_RATE) / count))
    return f"{count} {noun} tell a pass rate to about {half * 100:.0f} points"


def check_judge_repeats(measurement: Measurement, judge_repeats: int) -> None:
    """Refuse several verdicts of a check, which gives an output the same one each time.

    Raises:
        Refusal: The evaluator asks no model.
    """
    if judge_repeats > 1 and measurement.evaluator.model is None:
        raise Refusal(
            "The evaluator '{name}' asks no model: it gives an output the same verdict each time. "
            "Leave judge_repeats out; repeats makes several outputs an item.",
            name=measurement.evaluator_record.name,
        )


def repeat_warnings(work: VerdictPlan) -> list[str]:
    """Return what to know about outputs that were made several times."""
    temperatures = {
        request.run_config.name: request.resolved_config.temperature
        for request in work.requests
        if request.run_config and request.resolved_config and not request.resolved_config.is_program
    }
    certain = [name for name, temperature in temperatures.items() if temperature == 0]
    if work.repeats.outputs < 2 or not certain:
        return []
    return [
        f"The temperature of {', '.join(certain)} is 0: its outputs of one item differ only as far "
        "as its model is not exact."
    ]


def empty_score_warnings(keys: Iterable[str]) -> list[str]:
    """Return the warnings of scores that had nothing to compare in any output."""
    return [
        f"The score {key!r} is left out: no reference has anything for it, so it says the same of "
        "every output. Add it to the references, or leave it out of the eval."
        for key in keys
    ]


def run_warnings(
    measurement: Measurement, outcome: RunOutcome, items: int, *, has_agreement: bool
) -> list[str]:
    """Return what to know about the results of a run."""
    warnings: list[str] = []
    if outcome.failures:
        warnings.append(
            f"{len(outcome.failures)} items could not be scored and are left out of the table: the "
            "means may be off. Run again to retry them."
        )
    warnings += [
        f"{count} {_STATE_SENTENCES[state]}" for state, count in outcome.failures_by_state.items()
    ]
    if outcome.refusal_texts:
        warnings.append(
            f"{outcome.refusal_texts} outputs look like refusals in words. They are scored like "
            "any other text, since a refusal may be right. Look at the worst items."
        )
    if outcome.abstentions:
        warnings.append(
            f"{outcome.abstentions} items have no score, because the judge said that they cannot "
            "be judged from what it is shown."
        )
    if outcome.plain_verdicts:
        warnings.append(
            f"{outcome.plain_verdicts} of {outcome.new_verdicts} verdicts are plain: G-Eval weighs "
            "scores by logprobs, and the judge's model gave none. Use a model that offers them, or "
            "read the scores as those of a plain judge."
        )
    if outcome.hidden_tokens:
        warnings.append(
            f"{outcome.hidden_tokens} hidden tokens of reasoning are counted and priced as output: "
            "the server counts them only in its total or beside its output."
        )
    if outcome.skipped:
        warnings.append(f"{outcome.skipped} items lack what the evaluator needs and were skipped.")
    if items < WIDE_INTERVAL_ITEMS:
        warnings.append(f"{items} items are few: expect wide intervals.")
    if measurement.evaluator.model and not has_agreement:
        warnings.append(
            "This judge was never compared with people's labels: its scores may mean nothing."
        )
    if measurement.evaluator.model == HOST:
        warnings.append(host_is_not_blind(outcome.judge_clients))
    return warnings


def comparison_warnings(measurement: Measurement, exclusions: int) -> list[str]:
    """Return what to know about a comparison.

    Args:
        measurement: The eval.
        exclusions: Items that some run configs were scored on and others were not.
    """
    warnings: list[str] = []
    if exclusions:
        warnings.append(
            f"{exclusions} items were not scored for all: each pair is compared on those it shares."
        )
    if measurement.evaluator.model:
        warnings.append(
            "The scores are a judge's, not people's: they are worth what its agreement is worth."
        )
    if measurement.evaluator.model == HOST:
        warnings.append(host_is_not_blind(()))
    return warnings
