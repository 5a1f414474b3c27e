"""Prompts."""

from typing import Literal

from storage.records.record import Name, Part, PartName, Record, Text


class BasePrompt(Part):
    """A prompt's text as it is frozen into a run config."""

    name: PartName
    description: str | None = None
    generator_id: str | None = None
    prompt: Text
    chain_of_thought_instructions: str | None = None


class Prompt(Record):
    """A prompt that a person or a program wrote for a task."""

    name: Name
    description: str | None = None
    generator_id: str | None = None
    prompt: Text
    chain_of_thought_instructions: str | None = None
    model_type: Literal["prompt"] = "prompt"
