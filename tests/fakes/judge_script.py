"""A scripted judge that follows its steps, a scripted model that rewrites them, and their bench."""

import json
import re
from collections.abc import Callable

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.llm import ModelRequest
from storage import Task, TaskOutput, TaskRun

NO_DIGITS = "A name with a digit in it fails."
NO_DOGS = "A dog fails, whatever its name is."
_OUTPUT = re.compile(r"<model_response>\s*(.*?)\s*</model_response>", re.DOTALL)


def judge_or_rewrite(request: ModelRequest) -> str:
    """Judge a name by the steps of the request, or add the step that is missing."""
    text = "\n".join(str(message.content) for message in request.messages)
    if "You mend the steps" in text:
        edit = {"operation": "add", "block": "s1", "text": NO_DOGS, "reason": "dogs pass"}
        if NO_DOGS in text:
            edit = {"operation": "delete", "block": "s2", "text": "", "reason": "dogs fail"}
        return json.dumps({"failure": "It lets dogs pass.", "edits": [edit]})
    (output,) = _OUTPUT.findall(text)
    fails = (NO_DIGITS in text and any(map(str.isdigit, output))) or (
        NO_DOGS in text and "dog" in output
    )
    if "Be strict" in text:
        fails = fails or "mouse" in output
    return json.dumps({"reasoning": f"I read {output}.", "right": "fail" if fails else "pass"})


def person(run: TaskRun) -> str:
    """Label a name as the person does: no digits, and no dogs."""
    output = run.output.output
    return "fail" if "dog" in output or any(map(str.isdigit, output)) else "pass"


def names_setup(answer: Callable[[ModelRequest], str] = judge_or_rewrite) -> BenchSetup:
    """Return the set-up of a bench whose task names animals."""
    return BenchSetup(Task(name="Name", instruction="Name one."), answer, Agrees())


async def add_names(bench: Bench, *outputs: str) -> list[TaskRun]:
    """Add names to the golden set of the eval "Right"."""
    runs = [
        TaskRun(input=f"animal {n}", output=TaskOutput(output=output), tags=("golden_right",))
        for n, output in enumerate(outputs)
    ]
    async with bench.store.transaction() as change:
        for run in runs:
            change.save(run, parent=bench.task)
    return runs


async def add_name_judge(bench: Bench, *steps: str) -> None:
    """Add the eval "Right" with a judge that follows the steps."""
    await bench.evaluator(type="llm_judge", steps=[*steps], test_filter="tag::eval_right")
