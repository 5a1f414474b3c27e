"""Projects and tasks."""

from typing import Literal

from pydantic import Field

from storage.records.ratings import RatingType
from storage.records.record import Name, Part, Record, ShortName, Text, new_id

Priority = Literal[0, 1, 2, 3]


class Project(Record):
    """A project: a folder with tasks, documents and tools."""

    name: Name
    description: str | None = None
    model_type: Literal["project"] = "project"


class TaskRequirement(Part):
    """Something that an output of the task must satisfy."""

    id: str = Field(default_factory=new_id)
    name: ShortName
    description: str | None = None
    instruction: Text
    priority: Priority = 2
    type: RatingType = "five_star"


class Task(Record):
    """What a model is asked to do.

    Attributes:
        output_json_schema: JSON Schema as text; None for plain text.
        input_json_schema: JSON Schema as text; None for plain text.
    """

    name: Name
    description: str | None = None
    instruction: Text
    requirements: tuple[TaskRequirement, ...] = ()
    output_json_schema: str | None = None
    input_json_schema: str | None = None
    thinking_instruction: str | None = None
    default_run_config_id: str | None = None
    turn_mode: Literal["single_turn", "multiturn"] = "single_turn"
    model_type: Literal["task"] = "task"
