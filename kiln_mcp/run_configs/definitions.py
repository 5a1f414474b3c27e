"""What a new run config is made of."""

from dataclasses import dataclass
from typing import Final

SIMPLE_PROMPT: Final = "simple_prompt_builder"
"""The prompt that is the task's instruction."""


@dataclass(frozen=True, slots=True)
class RunConfigDefinition:
    """One way to run a task.

    Attributes:
        name: What to call it.
        prompt: The system prompt; None for what `prompt_id` says.
        prompt_id: A prompt builder of Kiln, or a saved prompt.
        model: The model; None for the default one.
        max_tokens: The longest answer, reasoning included; None for the usual one.
        temperature: 0 for the most probable answer.
    """

    name: str
    prompt: str | None = None
    prompt_id: str = SIMPLE_PROMPT
    model: str | None = None
    max_tokens: int | None = None
    temperature: float = 0.0
