"""Hold the conversations of a plan: a model plays each user, and the run config answers them.

A conversation is kept as Kiln keeps one: a run for each turn, which names the run of the turn
before, and a trace that grows. The last run is the item. The runs of a task of single turns cannot
name others, so that its conversation is one run: its input is the transcript up to the last answer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

from kiln_mcp.datasets import lineage
from kiln_mcp.llm import Engine
from kiln_mcp.llm import Usage as ModelUsage
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.run_configs.synthetic_users import Conversation, SyntheticUser, Turn, converse
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, stored_usage, to_task_run
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.generated_items import GeneratedItem, PlannedInput
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.last_answers import transcript
from kiln_mcp.synthesis.user_cases import UserCase
from storage import DataSource, TaskRun, TraceMessage, Usage
from storage.records.run import TURNS, MessageUsage

CASE_TAG: Final = "synthetic_user_case"
"""Kiln's tag of the last run of a conversation with a simulated user."""
ENDED_TAG: Final = "synthetic_user_ended_conversation"
"""Kiln's tag of those that the user ended."""


async def held_conversations(
    engine: Engine,
    context: GenerationContext,
    plan: DataPlan,
    inputs: Sequence[PlannedInput],
    report: Callable[[int], Awaitable[None]],
) -> list[GeneratedItem]:
    """Return a conversation for each input, as many at once as the models' servers allow.

    One in which a model fails is left out, not fatal.

    Args:
        engine: The engine.
        context: What the project has.
        plan: The plan, with the most turns and the model that plays the users.
        inputs: The first messages, with their users.
        report: Called with the number of conversations that ended.
    """
    items: dict[int, GeneratedItem] = {}

    async def hold(place: int) -> None:
        item = inputs[place]
        config = replace(context.resolved_config, sample=item.task_input.sample)
        try:
            conversation = await converse(
                engine, config, _user(plan, item), "synthesis/conversations"
            )
        except ModelError as error:
            items[place] = GeneratedItem(item, None, str(error))
        else:
            runs = _Runs(context, config, item, conversation).all()
            items[place] = GeneratedItem(
                item, runs[-1], earlier_turns=runs[:-1], stop=conversation.stop
            )
        await report(len(items))

    width = engine.width([context.resolved_config.model, plan.user_player])
    await for_each(range(len(inputs)), hold, width)
    return [items[place] for place in range(len(inputs))]


def _user(plan: DataPlan, item: PlannedInput) -> SyntheticUser:
    case = item.user or UserCase("A person.", "An answer.")
    return SyntheticUser(
        model=plan.user_player,
        turns=plan.turns,
        first_message=item.task_input.text,
        persona=case.persona,
        goal=case.goal,
        guidance=case.guidance,
    )


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs that keep a conversation.

    Attributes:
        context: What the project has.
        config: The run config that answered, resolved.
        item: The first message, with its user.
        conversation: The conversation.
    """

    context: GenerationContext
    config: ResolvedRunConfig
    item: PlannedInput
    conversation: Conversation

    def all(self) -> tuple[TaskRun, ...]:
        """Return them, the first turn first."""
        turns = self.conversation.turns
        traces = _traces(self.config, turns)
        runs = [self._run(number, turn) for number, turn in enumerate(turns)]
        if self.context.task.turn_mode == "single_turn":
            last = runs[-1].replace(input=transcript(traces[-1]), usage=self._usage(turns))
            return (self._last_run(last.replace(trace=traces[-1])),)
        chain: list[TaskRun] = []
        for number, (run, trace) in enumerate(zip(runs, traces, strict=True)):
            previous = chain[-1].id if chain else None
            usage = MessageUsage.model_validate(
                self._usage(turns[: number + 1]).model_dump(exclude={"total_llm_latency_ms"})
            )
            chain.append(
                run.replace(parent_task_run_id=previous, trace=trace, cumulative_usage=usage)
            )
        return (*chain[:-1], self._last_run(chain[-1]))

    def _run(self, number: int, turn: Turn) -> TaskRun:
        """Return the run of a turn; only the last one of a conversation has tags."""
        run = to_task_run(turn.production, turn.text, self.context.config, self.config)
        return run.replace(id=self._id(number), input_source=self.item.task_input.source)

    def _id(self, number: int) -> str:
        if number == len(self.conversation.turns) - 1:
            return self.item.id
        digest = blake2b(f"{self.item.id} turn {number}".encode(), digest_size=8).digest()
        return f"{int.from_bytes(digest) % 10**12:012}"

    def _usage(self, turns: Sequence[Turn]) -> Usage:
        usage = sum((turn.production.usage for turn in turns), ModelUsage(calls=0))
        return stored_usage(usage, sum(turn.production.latency_s for turn in turns))

    def _last_run(self, run: TaskRun) -> TaskRun:
        """Return the last run, which says how the conversation ended."""
        conversation, tags = self.conversation, [*self.item.task_input.tags, CASE_TAG]
        if conversation.stop != "turns":
            tags.append(ENDED_TAG)
        source = run.output.source
        assert source is not None, "to_task_run names the source of each output"
        properties = {TURNS: len(conversation.turns), lineage.STOP: conversation.stop}
        output = run.output.replace(source=_with(source, properties))
        usage = stored_usage(conversation.user_usage, 0.0)
        return run.replace(output=output, tags=tuple(tags), synthetic_user_usage=usage)


def _with(source: DataSource, properties: Mapping[str, str | int | float]) -> DataSource:
    return source.replace(properties={**source.properties, **properties})


def _traces(config: ResolvedRunConfig, turns: Sequence[Turn]) -> list[tuple[TraceMessage, ...]]:
    """Return the conversation as it stood after each turn, without demonstrations and thinking."""
    begin = [] if config.is_program else [TraceMessage(role="system", content=config.prompt)]
    messages, traces = begin, list[tuple[TraceMessage, ...]]()
    for turn in turns:
        messages = [*messages, *_own_messages(turn)]
        traces.append(tuple(messages))
    return traces


def _own_messages(turn: Turn) -> list[TraceMessage]:
    """Return what a turn adds: the user's message, the calls of tools, the answer."""
    trace = turn.production.trace
    begins = [place for place, message in enumerate(trace) if message.content == turn.text]
    tools = [
        message
        for message in trace[max(begins, default=len(trace)) :]
        if message.role == "tool" or (message.model_extra or {}).get("tool_calls")
    ]
    question = TraceMessage(role="user", content=turn.text)
    return [question, *tools, TraceMessage(role="assistant", content=turn.production.output)]
