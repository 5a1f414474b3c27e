"""Call a function that is named as `module:function`; a script of the standard library alone.

It reads a JSON object from standard input and hands over those of its values that the function
takes. What the function prints goes to the error stream; what it returns is the output.
"""

import asyncio
import importlib
import inspect
import json
import os
import sys
import traceback
from typing import Any


def main() -> int:
    """Call the function of the first argument; return the exit code."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module_name, _, name = sys.argv[1].partition(":")
    sys.path[0] = os.getcwd()  # noqa: PTH109 - no import that a function does not need
    values: dict[str, Any] = json.load(sys.stdin)
    try:
        function = getattr(importlib.import_module(module_name), name)
        result = function(**_arguments(function, values))
        if inspect.isawaitable(result):
            result = asyncio.run(_await_result(result))
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    except Exception as error:  # noqa: BLE001 - the outermost door of foreign code
        traceback.print_exc()
        print(_describe(error), file=sys.stderr)  # noqa: T201 - a script
        return 1
    answers.write(text)
    answers.close()
    return 0


def _arguments(function: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return those of the values that a function takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return values
    names = {parameter.name for parameter in parameters}
    if values.get("prompt") and "prompt" not in names:
        raise TypeError("it takes no argument named prompt, so the prompt cannot be handed over")
    return {name: value for name, value in values.items() if name in names}


async def _await_result(result: Any) -> Any:
    return await result


def _describe(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__]
    place = f" (line {own[-1].lineno} of {os.path.basename(own[-1].filename)})" if own else ""  # noqa: PTH119
    return f"{type(error).__name__}: {error}{place}".replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
