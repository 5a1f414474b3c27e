"""Outputs by a model and a check of each, through inspect-ai. In a venv with inspect-ai and openai,
and with `benchmarks/engine` on the path:

    python peer_inspect_generate.py PORT CALLS CONCURRENCY
"""

import os
import sys
import tempfile

port, calls, concurrency = map(int, sys.argv[1:4])
os.environ |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "none"}

from inspect_ai import Task, eval  # noqa: E402
from inspect_ai.dataset import MemoryDataset, Sample  # noqa: E402
from inspect_ai.model import GenerateConfig, get_model  # noqa: E402
from inspect_ai.scorer import includes  # noqa: E402
from inspect_ai.solver import generate, system_message  # noqa: E402
from meter import Meter  # noqa: E402

samples = [
    Sample(input=f"Question {n}: where is parcel {n}?", target="thank") for n in range(calls)
]
task = Task(
    dataset=MemoryDataset(samples),
    solver=[system_message("Be polite."), generate()],
    scorer=includes(),
)
model = get_model(
    "openai/judge", config=GenerateConfig(max_connections=concurrency), responses_api=False
)
with tempfile.TemporaryDirectory() as logs:
    meter = Meter()
    [log] = eval(
        task,
        model=model,
        log_dir=logs,
        display="none",
        log_realtime=False,
        max_samples=concurrency,
        max_connections=concurrency,
    )
    meter.stop()
assert log.status == "success", log.error
meter.tell("inspect-ai", calls, concurrency)
