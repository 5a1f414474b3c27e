"""Play a session with a client library: fastmcp, pydantic-ai or openai-agents.

    python play_session.py LIBRARY < plan.json

The plan holds the command, the arguments and the environment of the server, the address of the
model that plays the assistant, and the calls, which fastmcp makes itself. Runs in a Python of its
own that has the libraries.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

REQUEST = "Build a spec and run an eval."
MOST_TURNS = 30


async def with_fastmcp(plan: Mapping[str, Any]) -> None:
    """Make the calls; an answer with an error raises."""
    from fastmcp import Client
    from fastmcp.client.transports import StdioTransport

    server = StdioTransport(plan["command"], plan["args"], env=plan["env"])
    async with Client(server) as client:
        for tool, arguments in plan["steps"]:
            await client.call_tool(tool, arguments)


async def with_pydantic_ai(plan: Mapping[str, Any]) -> None:
    """Let an agent work until it has nothing more to call."""
    from pydantic_ai import Agent, UsageLimits
    from pydantic_ai.mcp import MCPToolset, StdioTransport
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=f"{plan['address']}/v1", api_key="none")
    server = MCPToolset(StdioTransport(plan["command"], plan["args"], env=plan["env"]))
    agent = Agent(OpenAIChatModel("scripted", provider=provider), toolsets=[server])
    async with agent:
        await agent.run(REQUEST, usage_limits=UsageLimits(request_limit=MOST_TURNS))


async def with_openai_agents(plan: Mapping[str, Any]) -> None:
    """Let an agent work until it has nothing more to call."""
    from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
    from agents.mcp import MCPServerStdio
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    provider = AsyncOpenAI(base_url=f"{plan['address']}/v1", api_key="none")
    launch = {name: plan[name] for name in ("command", "args", "env")}
    async with MCPServerStdio(launch, client_session_timeout_seconds=60) as server:
        model = OpenAIResponsesModel("scripted", provider)
        agent = Agent("assistant", model=model, mcp_servers=[server])
        await Runner.run(agent, REQUEST, max_turns=MOST_TURNS)


LIBRARIES = {
    "fastmcp": with_fastmcp,
    "pydantic-ai": with_pydantic_ai,
    "openai-agents": with_openai_agents,
}


if __name__ == "__main__":
    asyncio.run(LIBRARIES[sys.argv[1]](json.load(sys.stdin)))
