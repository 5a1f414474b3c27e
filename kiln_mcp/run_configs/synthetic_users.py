"""Conversations with a simulated user, whom a model plays: each run has turns of its own."""

from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.llm import Usage as ModelUsage
from kiln_mcp.run_configs.model_names import StoredModel, engine_model
from kiln_mcp.run_configs.task_runs import ProducedOutput, ResolvedRunConfig, produce
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import EvalInput

END_MARK: Final = "[END]"
"""What the model writes that plays the user, when the user has nothing more to say."""
BEGIN: Final = "Begin the conversation."
LONGEST_TURN: Final = 300
"""Tokens of a user's turn."""


@dataclass(frozen=True, slots=True)
class SyntheticUser:
    """A simulated user.

    Attributes:
        model: The engine's name of the model that plays them.
        turns: The most turns of theirs.
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


async def produce_conversation(
    engine: Engine, resolved_config: ResolvedRunConfig, user: SyntheticUser, asker: str
) -> ProducedOutput:
    """Let a run config and a simulated user talk; the last answer is the output.

    Raises:
        ModelError: One of them gave no answer.
        EvalError: The input's template cannot be filled.
    """
    history: list[Message] = []
    user_usage, usage, latency = ModelUsage(calls=0), ModelUsage(calls=0), 0.0
    production: ProducedOutput | None = None
    for number in range(user.turns):
        text = user.first_message if number == 0 else ""
        if not text:
            request = _request(user, history, resolved_config)
            answer = await engine.complete(request, asker=f"{asker} user")
            user_usage, text = user_usage + answer.usage, answer.text.strip()
        if END_MARK in text and production is not None:
            break
        production = await produce(engine, resolved_config, text, asker, history)
        usage, latency = usage + production.usage, latency + production.latency_s
        history += [Message("user", text), Message("assistant", production.output)]
    if production is None:
        raise RuntimeError("a simulated user has at least one turn")
    return replace(production, usage=usage, latency_s=latency, user_usage=user_usage)


def _request(
    user: SyntheticUser, history: list[Message], resolved_config: ResolvedRunConfig
) -> ModelRequest:
    """Return what the model that plays the user is asked: the conversation from their side."""
    parts = load_prompt("run_configs", "synthetic_user").messages(
        persona=user.persona,
        goal=user.goal,
        guidance=user.guidance or "As this person would.",
        end_mark=END_MARK,
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
