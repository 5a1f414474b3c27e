"""The same judge calls through inspect-ai. In a venv with inspect-ai and openai:

python peer_inspect.py PORT CALLS CONCURRENCY
"""

import json
import os
import sys
import tempfile

port, calls, concurrency = map(int, sys.argv[1:4])
os.environ |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "none"}

from inspect_ai import Task, eval  # noqa: E402
from inspect_ai.dataset import MemoryDataset, Sample  # noqa: E402
from inspect_ai.model import (  # noqa: E402
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    get_model,
)
from inspect_ai.scorer import Score, accuracy, scorer  # noqa: E402
from inspect_ai.solver import solver  # noqa: E402
from meter import Meter  # noqa: E402


@solver
def stored():
    async def solve(state, generate):
        return state

    return solve


@scorer(metrics=[accuracy()])
def judge():
    async def score(state, target):
        model = get_model(
            "openai/judge",
            config=GenerateConfig(max_connections=concurrency),
            responses_api=False,
        )
        answer = await model.generate(
            [
                ChatMessageSystem(content="Judge whether the answer is polite. " * 10),
                ChatMessageUser(content=state.input_text),
            ]
        )
        return Score(value=json.loads(answer.completion)["score"] == "pass")

    return score


samples = [
    Sample(input=f"Answer {n}: thank you for your patience.", target="pass") for n in range(calls)
]
task = Task(dataset=MemoryDataset(samples), solver=stored(), scorer=judge())
with tempfile.TemporaryDirectory() as logs:
    meter = Meter()
    [log] = eval(
        task,
        model="openai/judge",
        log_dir=logs,
        display="none",
        log_realtime=False,
        max_samples=concurrency,
        max_connections=concurrency,
    )
    meter.stop()
assert log.status == "success", log.error
meter.tell("inspect-ai", calls, concurrency)
