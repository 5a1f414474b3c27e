"""Capabilities: list and test models."""

from typing import Annotated

from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm.model_probe import open_questions, try_model
from kiln_mcp.operations.models.answers import ModelList, ModelTest, model_entry, model_test
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Toolset,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace


@capability(
    effect=Effect.READS,
    title="List models",
    discovery=Discovery(
        Heading.MODELS,
        "providers, provider, available, installed, configured, supported, choose, API key, API "
        "keys, credentials, GPT, Claude, OpenAI, Anthropic, Google, Gemini, Ollama, OpenRouter, "
        "local, offline, free, cheap, cheapest, pricing, cost per token, context size, vision, "
        "structured output, capabilities, default model, LLM, LLMs, models exist, work with, "
        "connect, set up, which models, best, strongest, fast, small, open source, embedded, "
        "built in, hosted, cloud, own server, vLLM, LM Studio, llama.cpp, Bedrock, Azure, Vertex, "
        "DeepSeek, Qwen, Mistral, keys missing, set, cost of, per million",
    ),
)
async def list_models(
    workspace: Workspace,
    models: Annotated[list[str] | None, Field(description="Further ones to describe.")] = None,
) -> ModelList:
    """List the models that can be used: which are ready, their keys, abilities and prices."""
    default = workspace.model_name(None)
    descriptions = await workspace.engine.models([default, *(models or ())])
    return ModelList(
        default=default,
        models=[model_entry(model) for model in descriptions],
        other_models=(
            "Any hosted model by its litellm name (provider/model) once its key is in the "
            "environment or the system's keyring; OpenAI-compatible servers in "
            f"{workspace.settings.home / 'servers.json'}."
        ),
    )


@capability(
    effect=Effect.SPENDS,
    title="Test a model",
    discovery=Discovery(
        Heading.MODELS,
        "ping, try, check, connection, connect, works, working, valid API key, key work, OpenAI, "
        "Anthropic, Ollama, credentials, login, reachable, available, respond, speed, latency, "
        "slow, slower, health, hello, tool calls, JSON mode, answers, answering, running, up, "
        "down, online, is it alive, test call, small request, sanity check, key accepted, key is "
        "right, quota, rate limit, timeout, error, broken, supports tools, supports JSON, can do, "
        "my server, endpoint, how fast, seconds, probe",
        toolset=Toolset.ADMIN,
    ),
)
async def test_model(
    workspace: Workspace,
    model: Annotated[str, Field(description="The model's name.")],
) -> Proposal[ModelTest]:
    """Ask a model a few short questions, to see that it answers, how fast, and what it can do.

    One question; and one more each for JSON by schema, logprobs and tools if they are unknown or
    were refused. What was learned of its dialect is forgotten and learned again.
    """
    engine = workspace.engine
    await engine.check_ready({model: 1})
    calls = 1 + len(await open_questions(engine, model))
    questions = "one short question" if calls == 1 else f"{calls} short questions"
    cost = engine.price_of(model, calls)

    async def ask() -> ModelTest:
        return model_test(model, await try_model(engine, model, "operations/test_model"))

    return Proposal(Plan(f"Ask {model} {questions}.", calls=calls, highest_cost_usd=cost), ask)
