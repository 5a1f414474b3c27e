"""G-Eval weighs scores by logprobs, and says where a model gave none."""

import json
from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bench import Agrees, BenchSetup, open_bench
from chat_server import serve_chat
from kiln_mcp.llm import ServerSettings
from storage import Eval, EvalConfig, EvalRun, Task
from storage.records.evaluation import PLAIN_VERDICT_KEY

SHARE = 0.8
"""What the judge's model gives to "pass"."""


def tokens_of(text: str) -> list[Mapping[str, object]]:
    """Return the tokens of an answer; the verdict's own has an alternative."""
    head, _, rest = text.partition('"pass"')
    verdict: Mapping[str, object] = {
        "token": '"pass"',
        "logprob": log(SHARE),
        "top_logprobs": [
            {"token": '"pass"', "logprob": log(SHARE)},
            {"token": '"fail"', "logprob": log(1 - SHARE)},
        ],
    }
    first, last = (
        dict[str, object](token=part, logprob=0.0, top_logprobs=()) for part in (head, rest)
    )
    return [first, verdict, last]


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer as the model's name says: `weighs`, `refuses` logprobs, or is `silent` of them."""
    body: dict[str, Any] = await request.json()
    if body["model"] == "refuses" and body.get("logprobs"):
        error = {"error": {"message": "logprobs are not supported with this model."}}
        return web.json_response(error, status=400)
    schema = body["response_format"]["json_schema"]["schema"]
    text = json.dumps(dict.fromkeys(schema["required"], "pass"))
    logprobs = {"content": tokens_of(text)} if body["model"] == "weighs" else None
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    head = {"id": "1", "created": 0, "model": body["model"]}
    if not body.get("stream"):
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs}
        return web.json_response(head | {"choices": [choice], "usage": usage})
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await stream.prepare(request)
    delta = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "delta": delta, "logprobs": logprobs}
    events: list[dict[str, object]] = [{"choices": [choice]}, {"choices": (), "usage": usage}]
    for event in events:
        await stream.write(f"data: {json.dumps(head | event)}\n\n".encode())
    await stream.write(b"data: [DONE]\n\n")
    return stream


@pytest.mark.parametrize(
    ("model", "value", "is_plain"),
    [("weighs", SHARE, False), ("refuses", 1.0, True), ("silent", 1.0, True)],
)
async def test_a_verdict_that_no_logprobs_weigh_says_so_in_the_report_and_beside_its_item(
    tmp_path: Path, model: str, value: float, is_plain: bool
) -> None:
    async with serve_chat(answer) as address:
        setup = BenchSetup(
            Task(name="Capitals", instruction="Name the capital."),
            lambda _: "Paris",
            servers=(ServerSettings("judges", address),),
            person=Agrees(),
        )
        async with open_bench(tmp_path, setup) as bench:
            await bench.add_items({"France": "Paris", "la France": "Paris"})
            await bench.evaluator(
                type="llm_judge",
                steps=["Is it right?"],
                model=f"judges/{model}",
                settings={"weighted": True},
            )
            await bench.config("only", "Name it.")
            report = await bench.run()
            [eval_record] = await bench.store.children(bench.task, Eval)
            [record] = await bench.store.children(eval_record, EvalConfig)
            runs = await bench.store.children(record, EvalRun)
    [row] = report.table
    assert (report.newly_scored, report.failed) == (2, 0)
    assert row.mean == pytest.approx(value, abs=1e-3)
    notes = [PLAIN_VERDICT_KEY in (run.intermediate_outputs or {}) for run in runs]
    assert notes == [is_plain, is_plain]
    words = "2 of 2 verdicts are plain"
    assert any(text.startswith(words) for text in report.warnings) == is_plain
