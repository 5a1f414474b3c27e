"""Let a model call tools until it answers, within limits."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from kiln_mcp.llm import Engine, Message, ModelAnswer, ModelRequest, ToolCall, Usage
from kiln_mcp.llm.limits.rate_limiter import RateLimiter
from kiln_mcp.llm.limits.shared_limits import UNLIMITED, ServerLimits
from kiln_mcp.llm.retries import Route
from kiln_mcp.programs.errors import ProgramFailure, cannot_run
from kiln_mcp.programs.skills import skills_section
from kiln_mcp.programs.toolbox import Toolbox, ToolSession

EXPECTED_TURNS: Final = 3
"""How often a model is asked for an output that it makes with tools, as plans count it."""


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """How far a model may go for one output.

    Attributes:
        turns: How often it is asked.
        calls: Calls of tools.
        seconds: The time after which it is not asked again.
    """

    turns: int = 10
    calls: int = 30
    seconds: float = 300.0


USUAL_LIMITS: Final = ToolLimits()


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What a model came to with its tools.

    Attributes:
        request: The conversation, without the last answer.
        answer: The last answer.
        usage: Of all answers.
        latency_s: Seconds of waiting for the model.
    """

    request: ModelRequest
    answer: ModelAnswer
    usage: Usage
    latency_s: float


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """The tools of a run config.

    Attributes:
        toolbox: What the engine calls them.
        limits: How far the model may go with them.
        texts: Descriptions of tools and bodies of skills that take the place of their own.
    """

    toolbox: str
    limits: ToolLimits = USUAL_LIMITS
    texts: Mapping[str, str] = field(default_factory=dict[str, str])


async def use_tools(
    engine: Engine, request: ModelRequest, settings: ToolSettings, asker: str
) -> ToolUse:
    """Ask a model, and again with the results of the tools that it calls, until it calls none.

    Args:
        engine: The engine.
        request: The request, without tools.
        settings: The tools.
        asker: Who asks.

    Raises:
        ProgramFailure: It reached a limit, or a server of tools broke.
        ModelError: The model gave no usable answer, or the tools were not prepared.
    """
    toolbox = prepared_toolbox(engine, settings.toolbox).with_texts(settings.texts)
    limits = settings.limits
    request = _with_skills(replace(request, tools=toolbox.tools), toolbox)
    usage, latency, calls, started = Usage(calls=0), 0.0, 0, time.monotonic()
    async with toolbox.session() as session:
        for _ in range(limits.turns):
            answer = await engine.complete(request, asker=asker)
            usage, latency = usage + answer.usage, latency + answer.latency_s
            if not answer.tool_calls:
                return ToolUse(replace(request, tools=()), answer, usage, latency)
            calls += len(answer.tool_calls)
            if calls > limits.calls:
                raise ProgramFailure(toolbox.name, f"called tools more than {limits.calls} times")
            if time.monotonic() - started > limits.seconds:
                raise ProgramFailure(toolbox.name, f"took longer than {limits.seconds:g} s")
            request = request.with_messages(
                Message("assistant", answer.text, tool_calls=answer.tool_calls)
            )
            for call in answer.tool_calls:
                result = await _result(engine, session, request, call, asker)
                request = request.with_messages(Message("tool", result, tool_call_id=call.id))
    raise ProgramFailure(toolbox.name, f"gave no answer within {limits.turns} turns with tools")


def prepared_toolbox(engine: Engine, name: str) -> Toolbox:
    """Return the tools of a run config.

    Raises:
        ModelError: They were not prepared.
    """
    toolbox = engine.program(name)
    if not isinstance(toolbox, Toolbox):
        raise cannot_run(name, "its tools were not prepared. Measure its run config with an eval.")
    return toolbox


def _with_skills(request: ModelRequest, toolbox: Toolbox) -> ModelRequest:
    """Return a request whose system prompt lists the skills."""
    section = skills_section(toolbox.skills)
    if not section:
        return request
    first, *rest = request.messages
    if first.role != "system":
        first, rest = Message("system", ""), list(request.messages)
    return replace(request, messages=(replace(first, content=first.content + section), *rest))


async def _result(
    engine: Engine, session: ToolSession, request: ModelRequest, call: ToolCall, asker: str
) -> str:
    """Return a tool's result; the same call at the same place of a conversation is made once."""
    skill = await session.skill(call)
    if skill is not None:
        return skill
    await session.open_server(call.name)
    name = session.name
    ask = ModelRequest(
        model=name,
        messages=(
            Message("system", _place(request)),
            Message("user", json.dumps({"name": call.name, "arguments": call.arguments})),
        ),
        sample=request.sample,
    )
    limiter = RateLimiter(name, ServerLimits(concurrency=UNLIMITED))
    route = Route(session, name, name, limiter)
    answer = await engine.complete(ask, asker=asker, accept=("complete", "empty"), route=route)
    return answer.text


def _place(request: ModelRequest) -> str:
    """Return a digest of a conversation so far."""
    turns = [
        [m.role, m.content, m.tool_call_id, [[c.id, c.name, c.arguments] for c in m.tool_calls]]
        for m in request.messages
    ]
    text = json.dumps([request.model, request.seed, turns])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
