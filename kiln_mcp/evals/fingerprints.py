"""Fingerprints of judges and pools: what a certificate is about, and whether it still is."""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evals.measurement import Measurement
from storage import Spec, TaskRun

_MODEL_KEYS: Final = ("model_name", "model_provider")
PART_WORDS: Final[Mapping[str, str]] = {
    "model": "the judge's model",
    "judge": "the judge's instructions or settings",
    "rubric": "the rubric of the eval's scores",
    "spec": "the spec",
    "task": "the task's instruction",
}
"""What the parts of a fingerprint are called in sentences."""


async def judge_fingerprint(judge: Measurement) -> dict[str, str]:
    """Return the hashes of a judge's parts: model, settings, rubric, spec and task."""
    record = judge.evaluator_record
    properties = record.properties.model_dump(mode="json")
    models = {key: properties.pop(key, None) for key in _MODEL_KEYS}
    specs = [
        spec.definition
        for spec in await judge.store.children(judge.task, Spec)
        if spec.eval_id == judge.eval_record.id
    ]
    parts: dict[str, JsonValue] = {
        "model": [record.model_name, record.model_provider, *models.values()],
        "judge": {"kind": record.config_type, **properties, "program": record.program},
        "rubric": [score.model_dump(mode="json") for score in judge.eval_record.output_scores],
        "spec": list[JsonValue](sorted(specs)),
        "task": judge.task.instruction,
    }
    return {name: digest(part) for name, part in parts.items()}


def changed_parts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return in words which parts of a judge differ."""
    return [words for name, words in PART_WORDS.items() if old.get(name) != new.get(name)]


def fingerprint_text(parts: Mapping[str, str]) -> str:
    """Return one hash of all parts of a judge."""
    return digest(dict[str, JsonValue](parts))


def pool_hash(verdicts: Mapping[str, float], runs: Mapping[str, TaskRun]) -> str:
    """Return the hash of a pool: its items, their inputs and outputs, and the judge's verdicts."""
    rows: list[JsonValue] = [
        [item, digest([runs[item].input, runs[item].output.output]), verdict]
        for item, verdict in sorted(verdicts.items())
        if item in runs
    ]
    return digest(rows)


def digest(value: JsonValue) -> str:
    """Return the SHA-256 of a value's canonical JSON text."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
