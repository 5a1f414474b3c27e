"""Scores of a comparison by value: one for each field that an eval names, and the whole value.

A score whose key is a field's name is the field's own: `city`, or `address_city` for a field of an
inner object. `<field>_precision`, `<field>_recall` and `<field>_f1` measure the items of a list.
`precision`, `recall` and `f1` measure all fields of the object, or the items of a whole list. Every
other score is the whole value's.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evaluators.evaluator import Score
from kiln_mcp.evaluators.item_matches import MEASURES, ListCounts
from kiln_mcp.evaluators.scales import scale_value
from kiln_mcp.evaluators.schema_parts import Path, field_paths
from kiln_mcp.evaluators.value_comparison import FieldResult, ValueComparison
from storage import EvalOutputScore
from storage.records.evaluation import score_key

LONGEST_NAME: Final = 32
"""Characters of the name of a score."""
_UNNAMEABLE: Final = re.compile(r"[\\/?%*:|\"<>.,;=\s]")
"""What no name of a score has."""


def score_names(fields: Sequence[str]) -> dict[str, str]:
    """Return outermost fields by the names of their scores, which are short and have keys.

    A field without letters of a key, such as one in Japanese, gets a name made from its own.
    """
    names: dict[str, str] = {}
    keys: set[str] = set()
    for field in fields:
        name = " ".join(_UNNAMEABLE.sub(" ", field).split()).strip("_ ")
        key = score_key(name)
        if not key.strip("_") or key in keys or len(name) > LONGEST_NAME or key in MEASURES:
            name = f"Field {blake2b(field.encode(), digest_size=3).hexdigest()}"
        keys.add(score_key(name))
        names[name] = field
    return names


def scores_of(
    comparison: ValueComparison,
    output_scores: Sequence[EvalOutputScore],
    schema: Mapping[str, JsonValue] | None = None,
) -> dict[str, Score]:
    """Return a comparison as scores by key, each on the scale of its score.

    Args:
        comparison: The output beside the expected value.
        output_scores: The scores that the eval gives.
        schema: The schema of both: a field that it names and neither value has counts as equal.
    """
    results = dict.fromkeys(
        field_paths(schema), FieldResult(is_equal=True, is_in_output=False, is_expected=False)
    ) | dict(comparison.fields)
    by_key = _by_key(results)
    return {
        score.json_key: replace(
            share_score(score, *_value_of(score.json_key, comparison, by_key)),
            is_empty=_is_empty(score.json_key, by_key),
        )
        for score in output_scores
    }


def _is_empty(key: str, by_key: Mapping[str, FieldResult]) -> bool:
    """Return whether a score is of a field that the expected value lacks."""
    name, _, measure = key.rpartition("_")
    result = by_key.get(key) or (by_key.get(name) if measure in MEASURES else None)
    return result is not None and not result.is_expected


def _value_of(
    key: str, comparison: ValueComparison, by_key: Mapping[str, FieldResult]
) -> tuple[float, str]:
    if key in by_key:
        return float(by_key[key].is_equal), by_key[key].detail
    name, _, measure = key.rpartition("_")
    if measure in MEASURES and name in by_key:
        counts = by_key[name].counts
        if counts is not None:
            return counts.measure(measure), by_key[name].detail
        return float(by_key[name].is_equal), by_key[name].detail
    if key in MEASURES:
        return _counts_of_whole(comparison).measure(key), comparison.detail
    return float(comparison.total.is_equal), ""


def _counts_of_whole(comparison: ValueComparison) -> ListCounts:
    """Count the items of a whole list, or the fields of an object that hold no inner object."""
    if comparison.total.counts is not None:
        return comparison.total.counts
    paths = comparison.fields
    inner = {path[:-1] for path in paths}
    leaves = [result for path, result in paths.items() if path not in inner]
    if not leaves:
        is_equal = comparison.total.is_equal
        return ListCounts(int(is_equal), int(not is_equal), int(not is_equal))
    matches = sum(result.is_equal and not result.is_absent for result in leaves)
    return ListCounts(
        matches,
        sum(not result.is_equal and result.is_in_output for result in leaves),
        sum(not result.is_equal and result.is_expected for result in leaves),
    )


def _by_key(results: Mapping[Path, FieldResult]) -> dict[str, FieldResult]:
    """Return results by the keys that name them; a last name that two fields share names none."""
    results_by_key = {
        score_key(name): results[field,]
        for name, field in score_names([path[0] for path in results if len(path) == 1]).items()
    }
    for path, result in results.items():
        results_by_key.setdefault(score_key("_".join(path)), result)
    last_names = {path: score_key(path[-1]) for path in results}
    counts = Counter(last_names.values())
    for path, name in last_names.items():
        if counts[name] == 1:
            results_by_key.setdefault(name, results[path])
    return results_by_key


def share_score(score: EvalOutputScore, share: float, feedback: str = "") -> Score:
    """Return a share from 0 to 1 on a score's scale."""
    return Score(scale_value(score, share), feedback)
