"""The log of a search for a better judge: every version as a line of JSON, beside the eval."""

import json
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

from kiln_mcp.judging.refinement.search import JudgeSearchResult
from storage import Change, Eval, EvalConfig

FILE: Final = "kiln_mcp_judge_search_{run}.jsonl"


def write_search_log(
    change: Change,
    eval_record: Eval,
    name: str,
    start: EvalConfig,
    winner: EvalConfig | None,
    result: JudgeSearchResult,
) -> None:
    """Write the file of a search: one line for each version, the start first."""
    at = datetime.now(UTC).isoformat()
    lines: list[str] = []
    for number, entry in enumerate(result.versions):
        values: dict[str, JsonValue] = {
            "v": 1,
            "at": at,
            "judge": start.id,
            "version": number,
            "evaluator": winner.id if winner and number == result.best else None,
            "reason": entry.reason,
            "steps": [*entry.version.steps],
            "examples": [example.item for example in entry.version.examples],
            "is_accepted": entry.is_accepted,
            "loss": entry.loss,
            "agreements": [*entry.agreements],
        }
        lines.append(json.dumps(values, ensure_ascii=False))
    change.write_side_file(eval_record, name, ("\n".join(lines) + "\n").encode())
