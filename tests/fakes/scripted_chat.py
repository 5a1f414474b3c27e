"""A chat model whose answers are written beforehand, asked through the real engine."""

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

from agent.model import ChatModel
from kiln_mcp.llm import (
    BudgetLimit,
    Engine,
    EngineSettings,
    Model,
    ModelAnswer,
    ModelRequest,
    ToolCall,
    Usage,
)
from kiln_mcp.llm.errors import RejectedRequest
from no_places import NoPlaces
from scripted_model import ScriptedModel

Step = str | ModelAnswer | Callable[[ModelRequest], ModelAnswer]
USAGE = Usage(input_tokens=10, output_tokens=5)


def scripted(*steps: Step) -> ScriptedModel:
    """Return a model that gives these answers in order; a function makes one of the request."""
    script: Iterator[Step] = iter(steps)

    def answer(request: ModelRequest) -> str | ModelAnswer:
        step = next(script, None)
        if step is None:
            raise RejectedRequest(request.model, "the script has no more answers.")
        return step(request) if callable(step) else step

    return ScriptedModel(answer)


def calling(*calls: tuple[str, Mapping[str, object]]) -> ModelAnswer:
    """Return an answer that calls tools."""
    tool_calls = tuple(
        ToolCall(f"c{number}", name, json.dumps(arguments))
        for number, (name, arguments) in enumerate(calls)
    )
    return ModelAnswer("", usage=USAGE, finish="tool_calls", tool_calls=tool_calls)


@asynccontextmanager
async def chat_model(
    model: Model | None = None,
    limit: BudgetLimit = BudgetLimit(),  # noqa: B008 - it is frozen
    settings: EngineSettings | None = None,
) -> AsyncGenerator[ChatModel]:
    """Yield the chat model of an engine of its own; without a model, one that has no name."""
    models = {} if model is None else {"scripted": model}
    async with Engine(settings or EngineSettings(environment={}), models) as engine:
        yield await ChatModel.open(engine, "scripted" if model else "", "one", limit, NoPlaces())
