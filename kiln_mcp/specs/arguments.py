"""The arguments of the capabilities of this room."""

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.spec_texts.spec_kinds import SpecKind


class SpecText(BaseModel):
    """A spec in the call itself, instead of a saved one."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: SpecKind = Field(description="Its kind.")
    fields: dict[str, str] = Field(
        description="Text by field name; every kind has its own fields, and an error names them."
    )
    name: str | None = Field(default=None, description="Two to five words, 32 characters at most.")


class QuestionAnswer(BaseModel):
    """The person's answer to one question."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    question: str = Field(description="The question's id, or a question of your own in words.")
    answer: str = Field(description="One of its options, or free text.")


class FieldEdit(BaseModel):
    """Your own change to one field."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    field: str = Field(description="The field's name.")
    text: str = Field(description="The field's whole new text.")
    reason: str = Field(description="The person's words that call for it.")
