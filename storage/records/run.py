"""Runs of a task: inputs, outputs, where they came from and what people said of them."""

import json
from hashlib import blake2b
from typing import Final, Literal

from pydantic import Field, JsonValue, model_validator

from storage.records.ratings import TaskOutputRating
from storage.records.record import NestedRecord, Part, Record, Text
from storage.records.run_config import RunConfigProperties

_SOURCE_PROPERTIES: dict[str, tuple[str, ...]] = {
    "human": ("created_by",),
    "synthetic": ("model_name", "model_provider", "adapter_name"),
    "file_import": ("file_name",),
    "tool_call": (),
}
LARGEST_NUMBER: Final = 2**31 - 1
"""Of samples and verdicts; a file may hold any."""
SAMPLE: Final = "sample"
"""The property of an output's source that says which of several outputs of its item it is."""
ANSWER_STATE: Final = "answer_state"
"""The property of an output's source that says the state of a model's answer."""
OTHER_RIGHT_OUTPUTS: Final = "other_right_outputs"
"""The property of an output's source that holds other outputs that are right as well, as JSON."""
COMPLETE: Final = "complete"
"""The state of an answer that was neither truncated nor refused nor empty."""
TURNS: Final = "turns"
"""The property of an output's source that says how many turns a simulated user had.

The trace of such a run has these turns alone, without demonstrations.
"""
TOPIC: Final = "topic_path"
"""The property of an input's source that holds its topic, as Kiln has it."""
IMPORT_ADAPTER: Final = "import"
"""The adapter of outputs that a model gave elsewhere, and that were imported."""
PAIR_ADAPTER: Final = "kiln_mcp_pair"
"""The adapter of passing outputs that were edited until they broke a clause."""
REFERENCE_ADAPTER: Final = "kiln_mcp_reference"
"""The adapter of outputs that a model wrote as right answers, and that were verified."""
UNVERIFIED_ADAPTER: Final = "kiln_mcp_unverified"
"""The adapter of the same where the checks came to no result."""
UNKNOWN: Final = "unknown"
"""What Kiln's required properties of a source hold if nobody knows their value."""
_ONLY_FOR = {
    "prompt_id": "synthetic",
    "prompt_builder_name": "synthetic",
    "created_by": "human",
    "file_name": "file_import",
}


class DataSource(Part):
    """Where an input or output came from.

    `properties` needs `created_by` for human, `model_name`, `model_provider` and `adapter_name`
    for synthetic, `file_name` for file_import. Further keys are allowed.
    """

    type: Literal["human", "synthetic", "file_import", "tool_call"]
    properties: dict[str, str | int | float] = Field(default_factory=dict)
    run_config_id: str | None = None
    run_config: RunConfigProperties | None = None

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> "DataSource":
        # Each run that is read has two of these, so a source without a fault is told at once.
        properties, required_keys = self.properties, _SOURCE_PROPERTIES[self.type]
        if not all(map(properties.get, required_keys)):
            missing = [key for key in required_keys if not properties.get(key)]
            raise ValueError(f"a source of type {self.type} needs {', '.join(missing)}")
        for key, owner in _ONLY_FOR.items():
            if key in properties and self.type != owner:
                raise ValueError(f"{key} is for sources of type {owner} only")
        if "" in properties.values():
            empty = [key for key, value in properties.items() if value == ""]
            raise ValueError(f"{', '.join(empty)} must not be empty")
        return self


class MessageUsage(Part):
    """Tokens and cost in US dollars."""

    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    total_tokens: int | None = Field(default=None, ge=0)
    cost: float | None = Field(default=None, ge=0)
    cached_tokens: int | None = Field(default=None, ge=0)


class Usage(MessageUsage):
    """Tokens, cost and the time spent waiting for the model."""

    total_llm_latency_ms: int | None = Field(default=None, ge=0)


class TraceMessage(Part):
    """One message of a chat, in the form that OpenAI's interface made common."""

    role: str
    content: JsonValue = None


class TaskOutput(NestedRecord):
    """An output and its rating."""

    output: str
    source: DataSource | None = None
    rating: TaskOutputRating | None = None
    model_type: Literal["task_output"] = "task_output"


class EvalItemSource(Part):
    """Marks a run that an eval made, by the item that it was made for."""

    source_type: Literal["eval_input", "task_run"]
    source_id: Text


class TaskRun(Record):
    """One input with its output.

    Attributes:
        input: Text; JSON text where the task has an input schema.
        parent_task_run_id: The turn before, in a conversation.
        eval_source: Set on runs that an eval made.
    """

    input: str
    input_source: DataSource | None = None
    output: TaskOutput
    repair_instructions: str | None = None
    repaired_output: TaskOutput | None = None
    intermediate_outputs: dict[str, str] | None = None
    tags: tuple[str, ...] = ()
    usage: Usage | None = None
    cumulative_usage: MessageUsage | None = None
    synthetic_user_usage: Usage | None = None
    trace: tuple[TraceMessage, ...] | None = None
    parent_task_run_id: str | None = None
    eval_source: EvalItemSource | None = None
    model_type: Literal["task_run"] = "task_run"

    @model_validator(mode="after")
    def _rules(self) -> "TaskRun":
        check_tags(self.tags)
        if (self.repair_instructions is None) != (self.repaired_output is None):
            raise ValueError("repair_instructions and repaired_output come together")
        if self.repaired_output and self.repaired_output.rating:
            raise ValueError("a repaired output has no rating")
        return self

    @property
    def sample(self) -> int:
        """Which of the outputs of its item and run config this is; 0 for the first."""
        source = self.output.source
        value = source.properties.get(SAMPLE, 0) if source else 0
        return value if type(value) is int and 0 <= value <= LARGEST_NUMBER else 0

    @property
    def best_output(self) -> str:
        """The repaired output where there is one, otherwise the output."""
        return (self.repaired_output or self.output).output

    @property
    def reasoning(self) -> str | None:
        """What the model thought before its answer; None or "" if that is not known."""
        thoughts = self.intermediate_outputs or {}
        return thoughts.get("reasoning") or thoughts.get("chain_of_thought")

    @property
    def model_name(self) -> str | None:
        """The model that made the output; None if none did, or it is not known."""
        name = self.output.source.properties.get("model_name") if self.output.source else None
        return str(name) if name and name != UNKNOWN else None

    @property
    def is_imported(self) -> bool:
        """Whether a model's output was imported, such as a trace of production."""
        source = self.output.source
        return source is not None and source.properties.get("adapter_name") == IMPORT_ADAPTER

    @property
    def topic(self) -> str | None:
        """What the input is about; None if that is not known."""
        value = self.input_source.properties.get(TOPIC) if self.input_source else None
        return str(value) if value else None

    @property
    def is_simulated(self) -> bool:
        """Whether a simulated user wrote its conversation."""
        source = self.output.source
        return source is not None and TURNS in source.properties

    @property
    def user_turns(self) -> tuple[str, ...]:
        """What a simulated user wrote, turn by turn; for all other runs their input."""
        if not self.is_simulated:
            return (self.input,)
        turns = [message for message in self.trace or () if message.role == "user"]
        return tuple(str(turn.content) for turn in turns) or (self.input,)

    @property
    def fingerprint(self) -> str:
        """What changes with what a judge sees: the input, the output, the conversation's length."""
        text = f"{len(self.trace or ())}\0{self.input}\0{self.output.output}"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @property
    def answer_state(self) -> str:
        """The state of a model's answer; complete for all that no model answered."""
        properties = self.output.source.properties if self.output.source else {}
        return str(properties.get(ANSWER_STATE, COMPLETE))

    @property
    def other_right_outputs(self) -> tuple[JsonValue, ...]:
        """Other outputs that are right as well; none of what cannot be read as a JSON list."""
        properties = self.output.source.properties if self.output.source else {}
        try:
            values: JsonValue = json.loads(str(properties.get(OTHER_RIGHT_OUTPUTS, "[]")))
        except (ValueError, RecursionError):
            return ()
        return tuple(values) if isinstance(values, list) else ()

    @property
    def is_usable(self) -> bool:
        """Whether its best output is whole: a person repaired it, or no answer was cut short."""
        return self.repaired_output is not None or self.answer_state == COMPLETE


def check_tags(tags: tuple[str, ...]) -> None:
    """Refuse tags that the format refuses.

    Raises:
        ValueError: A tag is empty or has a space.
    """
    for tag in tags:
        if tag.split() != [tag]:
            raise ValueError(f"the tag {tag!r} is empty or has a space; use _ instead")


class Feedback(Record):
    """What a person said about a run."""

    feedback: Text
    source: Literal["run-page", "spec-feedback"]
    model_type: Literal["feedback"] = "feedback"


class GradedClaim(Part):
    """One claim about a run and what a person thinks of it."""

    text: str
    human_grade: Literal["agree", "disagree"]
    human_feedback: str | None = None


class ClaimReview(Record):
    """A person's review of a judge's verdict, claim by claim."""

    judge_score: Literal["pass", "fail"]
    judge_reasoning: str
    overview: str
    claims: tuple[GradedClaim, ...]
    human_verdict: Literal["pass", "fail"]
    model_type: Literal["claim_review"] = "claim_review"
