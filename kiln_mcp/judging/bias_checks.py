"""Check whether a judge favours long outputs, or outputs of its own model family.

The error is the judge's verdict less the person's label, so a judge is not blamed for long outputs
that are good. Position is not checked: evaluators judge one output at a time.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Final

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.scales import decision_of, to_unit_scale
from kiln_mcp.labels.golden_set import GoldenSet, read_outputs
from kiln_mcp.statistics import CannotTell
from kiln_mcp.statistics.regression import Slope, slopes
from storage import EvalOutputScore, TaskRun
from storage.index.results import RatedItem

FEWEST_LABELS: Final = 30
"""Labelled outputs below which a bias is not told from chance."""
FEWEST_OF_A_FAMILY: Final = 8
MOST_JUDGES: Final = 2
"""Judges whose biases are checked; of more, name those that matter."""

_FAMILIES: Final[Sequence[tuple[str, str]]] = (
    ("gpt|chatgpt|o[134]|davinci", "GPT"),
    ("claude", "Claude"),
    ("gemini|gemma", "Gemini"),
    ("llama", "Llama"),
    ("mistral|mixtral|ministral|magistral", "Mistral"),
    ("qwen|qwq", "Qwen"),
    ("deepseek", "DeepSeek"),
    ("grok", "Grok"),
    ("phi", "Phi"),
    ("command", "Command"),
    ("kimi", "Kimi"),
    ("glm", "GLM"),
)
"""Words that models' names begin with, and the families that they mean."""


@dataclass(frozen=True, slots=True)
class JudgedOutput:
    """An output with the judge's error.

    Attributes:
        length: The characters of the output.
        family: The model family that made it; "" if it is not known.
        error: The verdict less the label, on a scale from -1 to 1.
    """

    length: int
    family: str
    error: float


def model_family(model: str) -> str:
    """Return the family of a model by its name; "" if it is not known."""
    for words, family in _FAMILIES:
        if re.search(rf"(?:^|[^a-z0-9])(?:{words})(?:[^a-z]|$)", model.lower()):
            return family
    return ""


def bias_sentences(outputs: Sequence[JudgedOutput], judge_family: str) -> list[str]:
    """Return what the labels show of each bias, in words.

    Args:
        outputs: The labelled outputs.
        judge_family: The judge's model family; "" if it is not known.
    """
    if len(outputs) < FEWEST_LABELS:
        return [f"cannot tell of biases: {len(outputs)} labels, and it takes {FEWEST_LABELS}"]
    errors = [output.error for output in outputs]
    lengths = [log2(1 + output.length) for output in outputs]
    own = [float(output.family == judge_family) for output in outputs]
    can_compare = judge_family and min(sum(own), len(own) - sum(own)) >= FEWEST_OF_A_FAMILY
    result = slopes([lengths, own] if can_compare else [lengths], errors)
    if isinstance(result, CannotTell):
        return [f"cannot tell of a bias for length: {result.reason}"]
    sentences = [_effect(result[0], "for length", "an output of twice the length")]
    if can_compare:
        sentences.append(
            _effect(result[1], f"for its own family {judge_family}", "an output of that family")
        )
    elif judge_family:
        sentences.append(
            f"cannot tell of a bias for its own family {judge_family}: it takes "
            f"{FEWEST_OF_A_FAMILY} labelled outputs of it, and as many of others"
        )
    return sentences


def _effect(slope: Slope, bias: str, noun: str) -> str:
    low, high = slope.interval.low * 100, slope.interval.high * 100
    span = f"95 % interval {low:+.0f} to {high:+.0f}"
    if low <= 0 <= high:
        return f"no bias {bias} is shown ({noun}: {slope.value * 100:+.0f} points, {span})"
    side = "better" if slope.value > 0 else "worse"
    return (
        f"BIAS {bias}: {noun} gets {side} verdicts than people give, by "
        f"{abs(slope.value) * 100:.0f} points ({span})"
    )


async def check_biases(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    judges: Sequence[Measurement],
) -> list[str]:
    """Return what the labels show of the judges' biases, a sentence for each judge and score."""
    judges = [judge for judge in judges if judge.evaluator.model]
    if not 0 < len(judges) <= MOST_JUDGES:
        return []
    items = {run.id: run for runs in runs_by_score.values() for run in runs}
    records = await read_outputs(judges[0].store, items.values())
    sentences: list[str] = []
    for judge in judges:
        for score in golden_set.scores:
            verdicts = await judge.stored_scores(score.json_key)
            outputs = _judged_outputs(golden_set, runs_by_score, records, verdicts, score)
            words = "; ".join(bias_sentences(outputs, model_family(judge.evaluator.model or "")))
            on_score = f" on {score.json_key}" if len(golden_set.scores) > 1 else ""
            sentences.append(f"{judge.evaluator_record.name}{on_score}: {words}.")
    return sentences


def _judged_outputs(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    records: Mapping[str, TaskRun],
    verdicts: Mapping[str, float],
    score: EvalOutputScore,
) -> list[JudgedOutput]:
    outputs: list[JudgedOutput] = []
    for run in runs_by_score[score.json_key]:
        label, record = golden_set.label(run, score), records.get(run.id)
        if label is None or record is None or run.id not in verdicts:
            continue
        verdict = decision_of(verdicts[run.id], score.type)
        error = to_unit_scale(verdict, score.type) - to_unit_scale(label, score.type)
        source = record.output.source
        model = str((source.properties if source else {}).get("model_name", ""))
        outputs.append(JudgedOutput(len(record.output.output), model_family(model), error))
    return outputs
