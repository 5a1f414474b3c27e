"""Answers of a feature as an import makes them, and a judge that fails those with a digit."""

import json
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from bench import Bench
from kiln_mcp.llm import ModelRequest
from storage import DataSource, TaskOutput, TaskRun

DIGITS_JUDGE: Final[dict[str, object]] = {
    "type": "llm_judge",
    "steps": ["No digits."],
    "name": "digits",
}


def fail_digits(request: ModelRequest) -> str:
    """Fail an output with a digit, and give no verdict on one that is unreadable."""
    asked = "\n".join(str(message.content) for message in request.messages)
    output = asked.split("<model_response>")[1].split("</model_response>")[0]
    if "unreadable" in output:
        return "I cannot say."
    verdict = "fail" if any(character.isdigit() for character in output) else "pass"
    return json.dumps({"reasoning": "I looked.", "right": verdict})


def answer(
    output: str,
    *,
    model: str = "gpt-x",
    tags: Sequence[str] = ("production",),
    number: int = 0,
    **properties: str,
) -> TaskRun:
    """Return a run with an imported answer."""
    names = {"model_name": model, "model_provider": "unknown", "adapter_name": "import"}
    source = DataSource(type="synthetic", properties={**names, **properties})
    key = f"{number} {output} {model} {tags}"
    return TaskRun(
        id=f"{crc32(key.encode()):012}",  # draws are made among ids
        input=f"question {number} {output}",
        output=TaskOutput(output=output, source=source),
        tags=tuple(tags),
    )


async def add(bench: Bench, *runs: TaskRun) -> list[TaskRun]:
    """Save runs below the bench's task."""
    async with bench.store.transaction() as change:
        return [change.save(run, parent=bench.task) for run in runs]


async def add_answers(bench: Bench, **counts: int) -> None:
    """Save so many answers of each text; `_` stands for a space."""
    for text, count in counts.items():
        output = text.replace("_", " ")
        await add(bench, *(answer(output, number=number) for number in range(count)))
