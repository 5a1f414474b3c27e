"""Scores of a number with a known direction: pass or fail by limits, or a share of a scale."""

import json
import math
import re
from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evaluators.evaluator import Evaluation, as_scores
from kiln_mcp.evaluators.scales import binary_scores, scale_value
from kiln_mcp.run_configs.errors import EvalError
from storage import EvalOutputScore
from storage.records.ratings import RATING_RANGES
from storage.records.workbench_checks import NumberBounds

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LONGEST_NUMBER: Final = 64


def read_number(value: JsonValue) -> float | None:
    """Return a number, or the one that a text is; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
            return None
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def score_number(
    number: float, name: str, bounds: NumberBounds, output_scores: Sequence[EvalOutputScore]
) -> Evaluation:
    """Return what a number is worth, with the number beside it.

    Args:
        number: What was measured.
        name: What it is, as a noun: "latency_s".
        bounds: What it is worth. Without any, the number is the score itself.
        output_scores: The scores that the eval gives.

    Raises:
        EvalError: There are no bounds, and the number does not lie on the scale of a score.
    """
    detail = f"{name} is {number:g}{_words_of(bounds)}"
    if bounds.has_limit:
        is_low = bounds.at_least is not None and number < bounds.at_least
        is_high = bounds.at_most is not None and number > bounds.at_most
        values = binary_scores(output_scores, passed=not (is_low or is_high))
    elif bounds.best is not None and bounds.worst is not None:
        share = (number - bounds.worst) / (bounds.best - bounds.worst)
        share = min(max(share, 0.0), 1.0)
        values = {score.json_key: scale_value(score, share) for score in output_scores}
    else:
        values = {score.json_key: number for score in output_scores}
        for score in output_scores:
            _check_scale(number, name, score)
    return Evaluation(as_scores(values), detail, number=number)


def _words_of(bounds: NumberBounds) -> str:
    parts = {
        "at least": bounds.at_least,
        "at most": bounds.at_most,
        "best": bounds.best,
        "worst": bounds.worst,
    }
    return "".join(f", {name} {value:g}" for name, value in parts.items() if value is not None)


def _check_scale(number: float, name: str, score: EvalOutputScore) -> None:
    low, high = RATING_RANGES[score.type]
    if not low <= number <= high:
        raise EvalError(
            f"{name} is {json.dumps(number)}, and the score {score.json_key!r} goes from {low:g} "
            f"to {high:g}. Give at_most or at_least in a new evaluator, or best and worst."
        )
