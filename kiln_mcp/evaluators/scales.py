"""Scores: what a judge may answer, and what its answers are worth."""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets.rating_criteria import VALUES
from kiln_mcp.evaluators.errors import unusable_verdict
from kiln_mcp.llm import TokenLogprob
from storage import EvalOutputScore
from storage.isolation.fixed_schema import FixedSchema

ABSTENTION: Final = "null if it cannot be judged from what is shown."
MISSING_LOGPROB: Final = -9999.0
"""What some servers give for a token that has no logprob."""


def answer_schema(scores: Sequence[EvalOutputScore], *, reasoning: bool) -> FixedSchema:
    """Return the JSON schema of a judge's answer: one property a score, reasons first.

    A score may be null: the judge abstains.
    """
    properties: dict[str, JsonValue] = {}
    if reasoning:
        properties["reasoning"] = {
            "type": "string",
            "description": "What you found, step by step, in a few sentences.",
            "maxLength": 1000,
        }
    for score in scores:
        properties[score.json_key] = _score_schema(score)
    return FixedSchema(
        type="object",
        properties=properties,
        required=list(properties),
        additionalProperties=False,
    )


def abstains(answer: JsonValue, scores: Sequence[EvalOutputScore]) -> bool:
    """Return whether a judge's answer says of a score that it cannot be judged."""
    return isinstance(answer, dict) and any(
        score.json_key in answer and answer[score.json_key] is None for score in scores
    )


def read_scores(answer: JsonValue, scores: Sequence[EvalOutputScore]) -> Mapping[str, float]:
    """Return a judge's answer as values by score key.

    Raises:
        EvalError: A score is missing or is not one of the valid values.
    """
    if not isinstance(answer, dict):
        raise unusable_verdict("it is no JSON object")
    return {score.json_key: _value(answer.get(score.json_key), score) for score in scores}


def weighted_scores(
    tokens: Sequence[TokenLogprob], scores: Sequence[EvalOutputScore]
) -> Mapping[str, float]:
    """Return scores weighted by the judge's own probabilities, as G-Eval does.

    For each score the first token after its name that is a valid value is found; the score is
    the mean of the valid values among that token's alternatives, weighted by probability.

    Raises:
        EvalError: A score's name does not occur exactly once, or no value follows it.

    Source:
        Liu et al. (2023), G-Eval, section 2, weighting of scores by token probabilities.
    """
    starts: list[int] = []
    text = ""
    for token in tokens:
        starts.append(len(text))
        text += token.token
    places = {score.json_key: _place(text, score.json_key) for score in scores}
    return {
        score.json_key: _weighted(
            [
                token
                for start, token in zip(starts, tokens, strict=True)
                if places[score.json_key] <= start < _next_place(places, score.json_key, len(text))
            ],
            score,
        )
        for score in scores
    }


def binary_scores(scores: Sequence[EvalOutputScore], *, passed: bool) -> Mapping[str, float]:
    """Return a pass or fail as values of every score: the best of its scale, or the worst mark.

    A fail is 0 on pass/fail scales and 1 on five stars.
    """
    return {score.json_key: scale_value(score, float(passed)) for score in scores}


def scale_value(score: EvalOutputScore, share: float) -> float:
    """Return a share from 0 to 1 on a score's scale: 0 is the worst mark, 1 the best."""
    return 1 + 4 * share if score.type == "five_star" else share


def to_unit_scale(value: float, kind: str) -> float:
    """Return a score on a scale from 0 to 1.

    Raises:
        ValueError: The kind of score has no scale.
    """
    match kind:
        case "five_star":
            return (value - 1) / 4
        case "pass_fail":
            return value
        case "pass_fail_critical":
            return (value + 1) / 2
        case _:
            raise ValueError(f"A score of kind {kind} has no scale.")


def decision_of(value: float, kind: str) -> float:
    """Return the label that a value stands for: pass from the middle on, else the nearest mark."""
    if kind == "pass_fail":
        return 1.0 if value >= 0.5 else 0.0
    return float(round(value))


def distance_of(value: float, label: float, kind: str) -> float:
    """Return how far a value's decision is from a label: 0 is the same, 1 the other end."""
    return abs(to_unit_scale(decision_of(value, kind), kind) - to_unit_scale(label, kind))


def _score_schema(score: EvalOutputScore) -> JsonValue:
    description = f"{score.instruction or score.name} ({ABSTENTION})"
    if score.type == "five_star":
        kinds: list[JsonValue] = ["integer", "null"]
        return {"type": kinds, "minimum": 1, "maximum": 5, "description": description}
    choices: list[JsonValue] = [*VALUES[score.type], None]
    return {"type": ["string", "null"], "enum": choices, "description": description}


def _value(answer: JsonValue, score: EvalOutputScore) -> float:
    valid = VALUES[score.type]
    word = str(answer).strip().strip('"').lower().removesuffix(".0")
    if word not in valid:
        raise unusable_verdict(f"{score.json_key} is {answer!r}, valid are {', '.join(valid)}")
    return valid[word]


def _place(text: str, key: str) -> int:
    token = f'"{key}"'
    if text.count(token) != 1:
        raise unusable_verdict(f"{token} occurs {text.count(token)} times in it, not once")
    return text.index(token) + len(token)


def _next_place(places: Mapping[str, int], key: str, end: int) -> int:
    later = [place for place in places.values() if place > places[key]]
    return min(later, default=end + 1)


def _weighted(tokens: Sequence[TokenLogprob], score: EvalOutputScore) -> float:
    valid = VALUES[score.type]
    for token in tokens:
        primary = _plain(token.token)
        if primary not in valid:
            continue
        options = [(_plain(other.token), other.logprob) for other in token.alternatives]
        if primary not in {option for option, _ in options}:
            certain = token.logprob <= MISSING_LOGPROB
            options.append((primary, 0.0 if certain else token.logprob))
        weights = [(valid[option], exp(logprob)) for option, logprob in options if option in valid]
        total = sum(weight for _, weight in weights)
        if total == 0:
            return valid[primary]
        return sum(value * weight for value, weight in weights) / total
    raise unusable_verdict(f"no value follows {score.json_key}")


def _plain(token: str) -> str:
    return token.strip().strip('"').strip().lower()
