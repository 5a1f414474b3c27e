"""Conversations with a simulated user, whom a model plays: each run has turns of its own."""

from dataclasses import dataclass, replace
from typing import Final, Literal

from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.llm import Usage as ModelUsage
from kiln_mcp.run_configs.model_names import StoredModel, engine_model
from kiln_mcp.run_configs.task_runs import ProducedOutput, ResolvedRunConfig, produce
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import EvalInput

END_MARK: Final = "[END]"
"""What the model writes that plays the user, when the user has what they want."""
GIVE_UP_MARK: Final = "[GIVE UP]"
"""What it writes when the user sees that they will not get it."""
BEGIN: Final = "Begin the conversation."
LONGEST_TURN: Final = 300
"""Tokens of a user's turn."""
Stop = Literal["goal", "gave_up", "turns"]
"""Why a conversation ended: the user had what they want, gave up, or had no more turns."""
_STOPS: Final[dict[str, Stop]] = {END_MARK: "goal", GIVE_UP_MARK: "gave_up"}


@dataclass(frozen=True, slots=True)
class SyntheticUser:
    """A simulated user.

    Attributes:
        model: The engine's name of the model that plays them.
        turns: The most turns of theirs, at least one.
        first_message: What they say first; "" if the model decides.
        persona: Who they are.
        goal: What they want.
        guidance: How they behave; "" if nothing says so.
    """

    model: str
    turns: int
    first_message: str
    persona: str
    goal: str
    guidance: str = ""

    @classmethod
    def of(cls, record: EvalInput) -> "SyntheticUser | None":
        """Return the user of an eval's input; None if it has none, or no model plays them."""
        data = record.data
        if data.type == "single_turn" or data.drive_config is None:
            return None
        drive, person = data.drive_config, data.synthetic_user_info
        return cls(
            model=engine_model(StoredModel(drive.model_name, drive.model_provider)),
            turns=drive.turns,
            first_message=record.opening_text,
            persona=person.persona,
            goal=person.goal,
            guidance=person.behavior_guidance or "",
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user says, and what the run config answers."""

    text: str
    production: ProducedOutput


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with a simulated user.

    Attributes:
        turns: The turns, at least one.
        stop: Why it ended.
        user_usage: What the model took that played the user.
    """

    turns: tuple[Turn, ...]
    stop: Stop
    user_usage: ModelUsage


async def converse(
    engine: Engine, resolved_config: ResolvedRunConfig, user: SyntheticUser, asker: str
) -> Conversation:
    """Let a run config and a simulated user talk.

    Raises:
        ModelError: One of them gave no answer.
        EvalError: The input's template cannot be filled.
    """
    history: list[Message] = []
    turns: list[Turn] = []
    stop: Stop = "turns"
    user_usage = ModelUsage(calls=0)
    while len(turns) < max(1, user.turns):
        text = "" if turns else user.first_message
        if not text:
            request = _request(user, history, resolved_config)
            answer = await engine.complete(request, asker=f"{asker} user")
            user_usage, text = user_usage + answer.usage, answer.text.strip()
        mark = next((mark for mark in _STOPS if mark in text), "")
        if mark and turns:
            stop = _STOPS[mark]
            break
        production = await produce(engine, resolved_config, text, asker, history)
        turns.append(Turn(text, production))
        history += [Message("user", text), Message("assistant", production.output)]
    return Conversation(tuple(turns), stop, user_usage)


async def produce_conversation(
    engine: Engine, resolved_config: ResolvedRunConfig, user: SyntheticUser, asker: str
) -> ProducedOutput:
    """Let a run config and a simulated user talk; the last answer is the output.

    Raises:
        ModelError: One of them gave no answer.
        EvalError: The input's template cannot be filled.
    """
    conversation = await converse(engine, resolved_config, user, asker)
    usage, latency = ModelUsage(calls=0), 0.0
    for turn in conversation.turns:
        usage, latency = usage + turn.production.usage, latency + turn.production.latency_s
    return replace(
        conversation.turns[-1].production,
        usage=usage,
        latency_s=latency,
        user_usage=conversation.user_usage,
    )


def _request(
    user: SyntheticUser, history: list[Message], resolved_config: ResolvedRunConfig
) -> ModelRequest:
    """Return what the model that plays the user is asked: the conversation from their side."""
    parts = load_prompt("run_configs", "synthetic_user").messages(
        persona=user.persona,
        goal=user.goal,
        guidance=user.guidance or "As this person would.",
        end_mark=END_MARK,
        give_up_mark=GIVE_UP_MARK,
    )
    turns = [
        replace(message, role="assistant" if message.role == "user" else "user")
        for message in history
    ]
    return ModelRequest(
        model=user.model,
        messages=(
            *(Message(part.role, part.content) for part in parts),
            Message("user", BEGIN),
            *turns,
        ),
        temperature=1.0,
        max_tokens=LONGEST_TURN,
        seed=resolved_config.seed,
        sample=resolved_config.sample,
    )
