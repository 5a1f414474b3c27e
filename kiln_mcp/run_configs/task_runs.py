"""Run a task on one input, as a run config says."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from pydantic import JsonValue

from kiln_mcp.llm import Engine, Message, ModelAnswer, ModelRequest
from kiln_mcp.llm import Usage as ModelUsage
from kiln_mcp.llm.answer_schemas import fit, unusable_schema
from kiln_mcp.llm.model_registry import PROGRAMS
from kiln_mcp.programs.errors import ProgramFailure
from kiln_mcp.programs.program_files import is_program, model_of_tool
from kiln_mcp.programs.readiness import ReadyProgram
from kiln_mcp.programs.toolbox import toolbox_model
from kiln_mcp.run_configs.errors import unsupported_run_config
from kiln_mcp.run_configs.item_templates import Case, render_template
from kiln_mcp.run_configs.model_names import StoredModel, engine_model
from kiln_mcp.run_configs.own_properties import MAX_TOKENS, own_number, tool_limits, tool_texts
from kiln_mcp.run_configs.run_traces import stored_trace
from kiln_mcp.run_configs.system_prompts import (
    Example,
    PromptText,
    prompt_text,
    split_examples,
    with_examples,
)
from kiln_mcp.run_configs.tool_loop import (
    EXPECTED_TURNS,
    USUAL_LIMITS,
    ToolLimits,
    ToolSettings,
    use_tools,
)
from storage import (
    DataSource,
    EvalItemSource,
    KilnAgentProperties,
    Prompt,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunConfig,
    TraceMessage,
    Usage,
)
from storage.records.run import ANSWER_STATE, COMPLETE, SAMPLE
from storage.records.run_config import PROGRAM_SOURCE, McpProperties

ADAPTER = "kiln_mcp"
LONGEST_ANSWER = 1024
FINAL_ANSWER = "Now give the final answer alone."


@dataclass(frozen=True)
class ResolvedRunConfig:
    """A run config, resolved: everything that an output depends on but the input.

    Attributes:
        model: The model's name for the engine.
        prompt: The system prompt, without its demonstrations.
        examples: The demonstrations, shown as turns of the conversation.
        thinking: What the model is told to think about first; None for no thinking.
        schema: JSON Schema of the output; None for plain text.
        temperature: 0 for the most probable answer.
        input_template: A Jinja template that the input passes through; None for none.
        seed: Makes sampling repeatable where the model offers it.
        longest_answer: In tokens.
        sample: Which of several outputs of the same input this makes; 0 for the first.
        toolbox: What the engine calls the tools that the model may call; "" for none.
        tool_limits: How far the model may go with them.
        tool_texts: Descriptions of tools and bodies of skills that take the place of their own.
    """

    model: str
    prompt: str
    examples: tuple[Example, ...] = ()
    thinking: str | None = None
    schema: Mapping[str, JsonValue] | None = None
    temperature: float = 0.0
    input_template: str | None = None
    seed: int = 0
    longest_answer: int = LONGEST_ANSWER
    sample: int = 0
    toolbox: str = ""
    tool_limits: ToolLimits = USUAL_LIMITS
    tool_texts: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_program(self) -> bool:
        """Whether a program makes the output, and no model is asked."""
        return self.model.startswith(PROGRAMS)

    @property
    def calls_per_output(self) -> int:
        """How often the model is asked for an output, as plans count it."""
        turns = EXPECTED_TURNS + (self.schema is not None) if self.toolbox else 1
        return turns + (1 if self.thinking else 0)

    @cached_property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that differ where any of it but the sample differs."""
        turns = [[example.task_input, example.output] for example in self.examples]
        parts = [self.model, self.prompt, turns, self.thinking, self.schema, self.temperature]
        parts += [self.input_template, self.seed]
        if self.longest_answer != LONGEST_ANSWER:  # older fingerprints stay as they are
            parts.append(self.longest_answer)
        if self.toolbox:
            parts += [self.toolbox, asdict(self.tool_limits)]
        if self.tool_texts:
            parts.append(dict(self.tool_texts))
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class ProducedOutput:
    """An output with what it took.

    Attributes:
        output: The text; JSON text where the task has an output schema.
        thinking: What the model thought first, "" for nothing.
        trace: The whole conversation.
        usage: Tokens and cost.
        latency_s: Seconds of waiting.
        user_usage: What the model took that played the user; None if none did.
        program_source: A digest of the program's files; "" if none is known.
    """

    output: str
    thinking: str
    trace: tuple[TraceMessage, ...]
    usage: ModelUsage
    latency_s: float
    user_usage: ModelUsage | None = None
    program_source: str = ""


def agent_properties(run_config: TaskRunConfig) -> KilnAgentProperties:
    """Return a run config's model settings.

    Raises:
        Refusal: It calls an MCP tool.
    """
    properties = run_config.run_config_properties
    if not isinstance(properties, KilnAgentProperties):
        raise unsupported_run_config(run_config.name, "it calls an MCP tool instead of a model")
    return properties


def resolve(
    task: Task,
    run_config: TaskRunConfig,
    prompts: Sequence[Prompt] = (),
    runs: Sequence[TaskRun] = (),
    seed: int = 0,
) -> ResolvedRunConfig:
    """Return what a run config stands for.

    Raises:
        Refusal: Part of it does not run here.
    """
    if isinstance(run_config.run_config_properties, McpProperties):
        schema = output_schema(task)
        return ResolvedRunConfig(model_of_tool(run_config), prompt="", schema=schema, seed=seed)
    properties = agent_properties(run_config)
    has_own_prompt = is_program(run_config) and run_config.prompt is None
    text = PromptText("") if has_own_prompt else prompt_text(task, run_config, prompts, runs)
    prompt, examples = split_examples(text.prompt)
    has_tools = bool(properties.tools_config and properties.tools_config.tools)
    return ResolvedRunConfig(
        model=engine_model(StoredModel(properties.model_name, properties.model_provider_name)),
        prompt=prompt,
        examples=examples,
        thinking=text.thinking,
        schema=output_schema(task),
        temperature=properties.temperature,
        input_template=properties.input_transform.template if properties.input_transform else None,
        seed=seed,
        longest_answer=own_number(properties, MAX_TOKENS) or LONGEST_ANSWER,
        toolbox=toolbox_model(run_config.id) if has_tools else "",
        tool_limits=tool_limits(properties),
        tool_texts=tool_texts(properties),
    )


def output_schema(task: Task) -> Mapping[str, JsonValue] | None:
    """Return the JSON Schema of a task's outputs, None for plain text.

    Raises:
        ModelError: It is no JSON, or nested too deeply.
    """
    if not task.output_json_schema:
        return None
    try:
        schema: JsonValue = json.loads(task.output_json_schema)
    except (ValueError, RecursionError) as error:
        raise unusable_schema("it is no JSON, or nested too deeply") from error
    return schema if isinstance(schema, dict) else None


async def produce(
    engine: Engine,
    resolved_config: ResolvedRunConfig,
    task_input: str,
    asker: str,
    history: Sequence[Message] = (),
) -> ProducedOutput:
    """Ask the model, or run the program, for an output.

    Args:
        engine: The engine.
        resolved_config: The run config.
        task_input: The input; the last turn of a conversation.
        asker: Who asks.
        history: The turns before it.

    Raises:
        BadAnswer: The answer is truncated, refused, empty or unreadable: there is no output.
        ModelError: The model or the program gave no answer.
        EvalError: The input's template cannot be filled.
    """
    request = await _request(resolved_config, task_input, history)
    if resolved_config.is_program:
        return await _run_program(engine, resolved_config, request, asker)
    thinking, latency, usage = "", 0.0, ModelUsage(calls=0)
    if resolved_config.thinking:
        reflection = await engine.complete(
            request.with_messages(Message("user", resolved_config.thinking)),
            asker=asker,
            accept=("complete", "truncated"),
        )
        thinking, latency, usage = reflection.text, reflection.latency_s, reflection.usage
        request = request.with_messages(
            Message("user", resolved_config.thinking),
            Message("assistant", reflection.text),
            Message("user", FINAL_ANSWER),
        )
    answer = None
    if resolved_config.toolbox:
        tools = ToolSettings(
            resolved_config.toolbox, resolved_config.tool_limits, resolved_config.tool_texts
        )
        use = await use_tools(engine, request, tools, asker)
        request, usage, latency = use.request, usage + use.usage, latency + use.latency_s
        answer = use.answer
        if resolved_config.schema is not None:
            request = request.with_messages(
                Message("assistant", answer.text), Message("user", FINAL_ANSWER)
            )
    if answer is None or resolved_config.schema is not None:
        answer = await engine.complete(_with_schema(request, resolved_config), asker=asker)
        usage, latency = usage + answer.usage, latency + answer.latency_s
    output = _output(answer, resolved_config)
    return ProducedOutput(
        output=output,
        thinking=thinking or answer.reasoning,
        trace=stored_trace((*request.messages, Message("assistant", output))),
        usage=usage,
        latency_s=latency,
    )


async def _run_program(
    engine: Engine, resolved_config: ResolvedRunConfig, request: ModelRequest, asker: str
) -> ProducedOutput:
    """Run a program; what it wrote must fit the task's schema as it is.

    Raises:
        ProgramFailure: It gave no output, or one that does not fit.
        ModelError: It cannot be run.
    """
    answer = await engine.complete(request, asker=asker)
    output = answer.text
    if resolved_config.schema is not None:
        value, problem = await fit(answer, _with_schema(request, resolved_config))
        if problem is not None:
            raise ProgramFailure(
                request.model, f"answered with something that does not fit the schema: {problem}"
            )
        output = json.dumps(value, ensure_ascii=False)
    messages = (*request.messages, Message("assistant", output))
    program_trace = tuple(TraceMessage.model_validate(message) for message in answer.trace)
    trace = program_trace or stored_trace(messages)
    program = engine.program(request.model)
    return ProducedOutput(
        output=output,
        thinking="",
        trace=trace,
        usage=answer.usage,
        latency_s=answer.latency_s,
        program_source=program.source if isinstance(program, ReadyProgram) else "",
    )


def to_task_run(
    output: ProducedOutput,
    task_input: str,
    run_config: TaskRunConfig,
    resolved_config: ResolvedRunConfig,
    eval_source: EvalItemSource | None = None,
) -> TaskRun:
    """Return the run to be saved, with its source as Kiln writes it.

    Args:
        output: What the model made.
        task_input: The input that it was made from.
        run_config: The run config.
        resolved_config: The same, resolved.
        eval_source: The item of an eval that it was made for; None for a run that is an item.
    """
    source = _source(run_config, resolved_config, output.program_source)
    return TaskRun(
        input=task_input,
        output=TaskOutput(output=output.output, source=source),
        intermediate_outputs=({"chain_of_thought": output.thinking} if output.thinking else None),
        usage=stored_usage(output.usage, output.latency_s),
        synthetic_user_usage=stored_usage(output.user_usage, 0.0) if output.user_usage else None,
        trace=output.trace,
        eval_source=eval_source,
    )


def _source(
    run_config: TaskRunConfig, resolved_config: ResolvedRunConfig, program_source: str
) -> DataSource:
    """Return where an output comes from."""
    own: dict[str, str | int | float] = {
        "seed": resolved_config.seed,
        "setup_fingerprint": resolved_config.fingerprint,
        ANSWER_STATE: COMPLETE,
        **({SAMPLE: resolved_config.sample} if resolved_config.sample else {}),
        **({PROGRAM_SOURCE: program_source} if program_source else {}),
    }
    properties = run_config.run_config_properties
    if isinstance(properties, McpProperties):
        return DataSource(
            type="tool_call", properties=own, run_config_id=run_config.id, run_config=properties
        )
    return DataSource(
        type="synthetic",
        properties={
            "model_name": properties.model_name,
            "model_provider": properties.model_provider_name,
            "adapter_name": ADAPTER,
            "prompt_id": properties.prompt_id,
            "structured_output_mode": properties.structured_output_mode,
            "temperature": properties.temperature,
            "top_p": properties.top_p,
            **own,
        },
        run_config_id=run_config.id,
        run_config=properties,
    )


def stored_usage(usage: ModelUsage, latency_s: float) -> Usage:
    """Return what an answer took, as Kiln's files hold it."""
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        cost=usage.cost_usd,
        cached_tokens=usage.cached_tokens,
        total_llm_latency_ms=round(latency_s * 1000),
    )


async def _request(
    resolved_config: ResolvedRunConfig, task_input: str, history: Sequence[Message]
) -> ModelRequest:
    messages: list[Message] = []
    if resolved_config.is_program:  # it takes one text as its prompt, if it takes any
        prompt = with_examples(resolved_config.prompt, resolved_config.examples)
        messages += [Message("system", prompt)] if prompt else []
    else:
        messages.append(Message("system", resolved_config.prompt))
        for example in resolved_config.examples:
            messages.append(Message("user", await _user_text(resolved_config, example.task_input)))
            messages.append(Message("assistant", example.output))
    return ModelRequest(
        model=resolved_config.model,
        messages=(
            *messages,
            *history,
            Message("user", await _user_text(resolved_config, task_input)),
        ),
        temperature=resolved_config.temperature,
        max_tokens=resolved_config.longest_answer,
        seed=resolved_config.seed,
        sample=resolved_config.sample,
    )


async def _user_text(resolved_config: ResolvedRunConfig, task_input: str) -> str:
    if not resolved_config.input_template:
        return task_input
    return await render_template(resolved_config.input_template, Case(task_input, ""))


def _with_schema(request: ModelRequest, resolved_config: ResolvedRunConfig) -> ModelRequest:
    return replace(request, schema=resolved_config.schema) if resolved_config.schema else request


def _output(answer: ModelAnswer, resolved_config: ResolvedRunConfig) -> str:
    if resolved_config.schema is None:
        return answer.text
    return json.dumps(answer.value, ensure_ascii=False)
