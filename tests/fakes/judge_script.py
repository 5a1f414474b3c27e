"""A scripted judge that follows its steps, and a scripted model that rewrites them."""

import json
import re

from kiln_mcp.llm import ModelRequest
from storage import TaskRun

NO_DIGITS = "A name with a digit in it fails."
NO_DOGS = "A dog fails, whatever its name is."
_OUTPUT = re.compile(r"<model_response>\s*(.*?)\s*</model_response>", re.DOTALL)


def judge_or_rewrite(request: ModelRequest) -> str:
    """Judge a name by the steps of the request, or add the step that is missing."""
    text = "\n".join(str(message.content) for message in request.messages)
    if "You mend the steps" in text:
        steps = [NO_DIGITS] if NO_DOGS in text else [NO_DIGITS, NO_DOGS]
        return json.dumps({"cause": "It lets dogs pass.", "steps": steps})
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
