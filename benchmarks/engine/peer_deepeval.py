"""The same judge calls through DeepEval's GEval. In a venv with deepeval and openai:

python peer_deepeval.py PORT CALLS CONCURRENCY

The server must answer {"score": 9, "reason": "polite"}. Steps are given, so that a metric makes one
call; the model is a class of its own with one client, since DeepEval's makes a client a call.
"""

import os
import sys
import tempfile

port, calls, concurrency = map(int, sys.argv[1:4])
os.environ |= {
    "DEEPEVAL_TELEMETRY_OPT_OUT": "YES",
    "DEEPEVAL_UPDATE_WARNING_OPT_IN": "NO",
    "DEEPEVAL_NO_INSPECT_PROMPT": "1",
    "DEEPEVAL_DISABLE_DOTENV": "1",
}

from deepeval import evaluate  # noqa: E402
from deepeval.evaluate.configs import AsyncConfig, CacheConfig, DisplayConfig  # noqa: E402
from deepeval.metrics import GEval  # noqa: E402
from deepeval.models import DeepEvalBaseLLM  # noqa: E402
from deepeval.test_case import LLMTestCase, SingleTurnParams  # noqa: E402
from meter import Meter  # noqa: E402
from openai import AsyncOpenAI  # noqa: E402


class Judge(DeepEvalBaseLLM):
    def __init__(self):
        self.client = AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
        super().__init__("judge")

    def load_model(self):
        return self.client

    def get_model_name(self):
        return "judge"

    def generate(self, prompt, schema=None):
        raise NotImplementedError

    async def a_generate(self, prompt, schema=None):
        answer = await self.client.chat.completions.create(
            model="judge", messages=[{"role": "user", "content": prompt}]
        )
        text = answer.choices[0].message.content
        return schema.model_validate_json(text) if schema else text


metric = GEval(
    name="polite",
    model=Judge(),
    evaluation_steps=["Judge whether the answer is polite. " * 10],
    evaluation_params=[SingleTurnParams.ACTUAL_OUTPUT],
)
cases = [
    LLMTestCase(input="-", actual_output=f"Answer {n}: thank you for your patience.")
    for n in range(calls)
]
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    meter = Meter()
    result = evaluate(
        cases,
        [metric],
        async_config=AsyncConfig(max_concurrent=concurrency, throttle_value=0),
        cache_config=CacheConfig(write_cache=False, use_cache=False),
        display_config=DisplayConfig(
            show_indicator=False, print_results=False, inspect_after_run=False
        ),
    )
    meter.stop()
    os.chdir("/")
assert len(result.test_results) == calls
assert all(case.success for case in result.test_results)
meter.tell("deepeval", calls, concurrency)
