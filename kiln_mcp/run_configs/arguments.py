"""The arguments of run configs."""

from pydantic import BaseModel, ConfigDict, Field

_CLOSED = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class RunConfigDefinition(BaseModel):
    """One way to run a task."""

    model_config = _CLOSED

    name: str = Field(description="What to call it.")
    prompt: str | None = Field(
        default=None, description="The system prompt; left out: what prompt_id says."
    )
    prompt_id: str = Field(
        default="simple_prompt_builder",
        description="'simple_prompt_builder' (the task's instruction), 'few_shot_prompt_builder' "
        "(with the best rated runs that no eval measures on), 'id::<saved prompt>', …",
    )
    model: str | None = Field(default=None, description="The model; left out: the default one.")
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="The longest answer in tokens, reasoning included; left out: 1024. An answer "
        "that is cut off has no score.",
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="0: most probable answer.")
