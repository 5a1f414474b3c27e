"""The same judge calls through Kiln's EvalRunner. In a venv with kiln-ai:

python peer_kiln.py PORT CALLS CONCURRENCY

A stored run an item, scored by an LLM judge, each score saved to the project. The project and the
settings lie in a temporary folder; writing the runs to judge is left out of the figures.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

port, calls, concurrency = map(int, sys.argv[1:4])
home = tempfile.TemporaryDirectory()
os.environ |= {"HOME": home.name, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "KILN_USER_ID": "bench"}

from kiln_ai.adapters.eval.eval_runner import EvalRunner  # noqa: E402
from kiln_ai.datamodel import DataSource, Project, Task, TaskOutput, TaskRun  # noqa: E402
from kiln_ai.datamodel.eval import (  # noqa: E402
    Eval,
    EvalConfig,
    EvalConfigType,
    EvalOutputScore,
    LlmJudgeProperties,
)
from kiln_ai.utils.config import Config  # noqa: E402
from meter import Meter  # noqa: E402


def stored() -> EvalConfig:
    project = Project(name="bench", path=Path(home.name, "bench", "project.kiln"))
    project.save_to_file()
    task = Task(name="answers", instruction="Answer.", parent=project)
    task.save_to_file()
    source = DataSource(type="human", properties={"created_by": "bench"})
    for n in range(calls):
        output = TaskOutput(output=f"Answer {n}: thank you for your patience.", source=source)
        TaskRun(
            parent=task, input="-", input_source=source, output=output, tags=["golden"]
        ).save_to_file()
    judged = Eval(
        name="polite",
        parent=task,
        eval_configs_filter_id="tag::golden",
        splits={"test": {"source": "task_run", "filter_id": "tag::golden"}},
        evaluation_data_type=None,
        output_scores=[EvalOutputScore(name="score", type="pass_fail", instruction="Polite?")],
    )
    judged.save_to_file()
    config = EvalConfig(
        name="judge",
        parent=judged,
        config_type=EvalConfigType.v2,
        properties=LlmJudgeProperties(
            model_name="bench::judge",
            model_provider="openai_compatible",
            system_prompt="Judge whether the answer is polite. " * 10,
            prompt_template="{{ final_message }}",
        ),
    )
    config.save_to_file()
    return config


async def main() -> None:
    Config.shared().openai_compatible_providers = [
        {"name": "bench", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "none"}
    ]
    config = stored()
    runner = EvalRunner([config], None, "eval_config_eval")
    meter = Meter()
    last = None
    async for progress in runner.run(concurrency=concurrency):
        last = progress
    meter.stop()
    assert last is not None
    assert (last.complete, last.errors) == (calls, 0), last
    assert all(run.scores == {"score": 1.0} for run in config.runs())
    meter.tell("kiln", calls, concurrency)


asyncio.run(main())
home.cleanup()
