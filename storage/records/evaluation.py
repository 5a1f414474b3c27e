"""Evals, their inputs, and the results of single items."""

import re
from functools import lru_cache
from math import isfinite
from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, JsonValue, field_validator, model_validator

from storage.records.ratings import RATING_RANGES, RatingType
from storage.records.record import Name, Part, Record, ShortName
from storage.records.run import LARGEST_NUMBER, TOPIC, Usage, check_tags
from storage.records.task import Priority

SAMPLE_KEY: Final = "kiln_mcp_sample"
VERDICT_KEY: Final = "kiln_mcp_verdict"
EMPTY_SCORES_KEY: Final = "kiln_mcp_empty_scores"
JUDGE_CLIENT_KEY: Final = "kiln_mcp_judge_client"
OUTPUT_KEY: Final = "kiln_mcp_output"
NUMBER_KEY: Final = "kiln_mcp_number"
PLAIN_VERDICT_KEY: Final = "kiln_mcp_plain_verdict"
"""Keys of ours in a result's `intermediate_outputs`, which Kiln keeps."""

EvalStatus = Literal["active", "future", "deprecated", "archived"]


@lru_cache(maxsize=1024)
def score_key(name: str) -> str:
    """Return the key of a score in results: lower case, `_` for spaces, no other characters."""
    return re.sub(r"[^a-z0-9_]", "", name.lower().replace(" ", "_"))


class EvalOutputScore(Part):
    """One score that an eval gives."""

    name: ShortName
    instruction: str | None = None
    type: RatingType

    @property
    def json_key(self) -> str:
        """The key of this score in results."""
        return score_key(self.name)


class TaskRunSplit(Part):
    """A part of an eval's data: the task runs of a filter."""

    source: Literal["task_run"] = "task_run"
    filter_id: str


class EvalInputSplit(Part):
    """A part of an eval's data: the eval inputs of a filter."""

    source: Literal["eval_input"] = "eval_input"
    filter_id: str


EvalSplit = Annotated[TaskRunSplit | EvalInputSplit, Discriminator("source")]


class Eval(Record):
    """An eval: the scores it gives and the data it is for.

    Attributes:
        current_config_id: The evaluator to use.
        eval_set_filter_id: Where files of 2025 say what `splits["test"]` says now; new files
            say both, so that older programs open them.
        eval_configs_filter_id: The golden set, which people rate and judges are measured on.
        splits: By name: test, train, val.
    """

    name: Name
    description: str | None = None
    template: str | None = None
    current_config_id: str | None = None
    eval_set_filter_id: str | None = None
    eval_configs_filter_id: str | None = None
    train_set_filter_id: str | None = None
    splits: dict[str, EvalSplit] = Field(default_factory=dict)
    output_scores: tuple[EvalOutputScore, ...] = Field(min_length=1)
    favourite: bool = False
    priority: Priority | None = None
    status: EvalStatus | None = None
    template_properties: dict[str, str | int | bool | float] | None = None
    evaluation_data_type: Literal["final_answer", "full_trace", "reference_answer"] | None = (
        "final_answer"
    )
    model_type: Literal["eval"] = "eval"

    @model_validator(mode="after")
    def _rules(self) -> "Eval":
        keys = [score.json_key for score in self.output_scores]
        if len(set(keys)) != len(keys):
            raise ValueError(f"two scores share a key: {', '.join(keys)}")
        if any(score.type == "custom" for score in self.output_scores):
            raise ValueError("a score of an eval cannot be of type custom")
        if not self.eval_set_filter_id and "test" not in self.splits:
            raise ValueError("an eval needs a split named test")
        return self

    def part(self, name: str) -> EvalSplit | None:
        """Return a part of the eval's data by name, also from files of 2025."""
        if name in self.splits:
            return self.splits[name]
        older = {"test": self.eval_set_filter_id, "train": self.train_set_filter_id}.get(name)
        return TaskRunSplit(filter_id=older) if older else None

    def score(self, key: str) -> EvalOutputScore | None:
        """Return the score of a result's key."""
        return next((score for score in self.output_scores if score.json_key == key), None)

    def fault_of(self, scores: dict[str, float]) -> str:
        """Return why a result's scores do not fit this eval, "" if they do."""
        scores_by_key = {score.json_key: score for score in self.output_scores}
        if set(scores) != set(scores_by_key):
            return f"scores must have exactly the keys {', '.join(sorted(scores_by_key))}"
        for key, value in scores.items():
            low, high = RATING_RANGES[scores_by_key[key].type]
            if not isfinite(value) or not low <= value <= high:
                return f"{key} must be from {low:g} to {high:g}"
        return ""


class EvalRun(Record):
    """One item scored by one evaluator.

    Attributes:
        dataset_id: The task run that was judged or run again, or None.
        eval_input_id: The eval input that was run, or None; one of the two is set.
        scored_run_id: The task run that holds the output that was judged.
        task_run_config_id: What made the output; None exactly when `eval_config_eval`.
        eval_config_eval: Whether an existing output was judged, to measure the evaluator.
        scores: By the eval's score keys.
    """

    dataset_id: str | None = None
    scored_run_id: str | None = None
    task_run_config_id: str | None = None
    eval_config_eval: bool = False
    input: str | None = None
    output: str | None = None
    reference_answer: str | None = None
    intermediate_outputs: dict[str, str] | None = None
    task_run_trace: str | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    task_run_usage: Usage | None = None
    eval_usage: Usage | None = None
    eval_input_id: str | None = None
    skipped_reason: str | None = None
    skipped_detail: str | None = None
    model_type: Literal["eval_run"] = "eval_run"

    @property
    def sample(self) -> int:
        """Which of the outputs of its item and run config was judged; 0 for the first."""
        return self._number(SAMPLE_KEY)

    @property
    def verdict_number(self) -> int:
        """Which of the verdicts of this output it is; 0 for the first."""
        return self._number(VERDICT_KEY)

    @property
    def empty_scores(self) -> frozenset[str]:
        """The keys of scores for which there was nothing to compare."""
        return frozenset((self.intermediate_outputs or {}).get(EMPTY_SCORES_KEY, "").split())

    @property
    def judge_client(self) -> str:
        """What the client calls itself whose model judged; "" if no client's model did."""
        return (self.intermediate_outputs or {}).get(JUDGE_CLIENT_KEY, "")

    @property
    def output_fingerprint(self) -> str:
        """The fingerprint of the stored output that was judged; "" if it is not known."""
        return (self.intermediate_outputs or {}).get(OUTPUT_KEY, "")

    def _number(self, key: str) -> int:
        text = (self.intermediate_outputs or {}).get(key, "")
        is_number = text.isascii() and text.isdecimal() and len(text) <= 10
        return min(int(text), LARGEST_NUMBER) if is_number else 0

    @model_validator(mode="after")
    def _rules(self) -> "EvalRun":
        if (self.dataset_id is None) == (self.eval_input_id is None):
            raise ValueError("exactly one of dataset_id and eval_input_id is set")
        if self.eval_config_eval != (self.task_run_config_id is None):
            raise ValueError("task_run_config_id is null exactly when eval_config_eval is true")
        return self


class UserMessage(Part):
    """What a user says."""

    text: str


class SingleTurnData(Part):
    """A case of one message."""

    type: Literal["single_turn"] = "single_turn"
    user_message: UserMessage


class SyntheticUserInfo(Part):
    """Who a simulated user is and wants."""

    persona: str
    goal: str
    behavior_guidance: str | None = None


class DriveConfig(Part):
    """The model that plays the user."""

    model_name: str
    model_provider: str
    turns: int = Field(ge=1, le=20)


class MultiTurnData(Part):
    """A case of a conversation with a simulated user."""

    type: Literal["multi_turn_synthetic"] = "multi_turn_synthetic"
    first_message: UserMessage | None = None
    synthetic_user_info: SyntheticUserInfo
    drive_config: DriveConfig | None = None


class EvalInput(Record):
    """A test case without an output.

    Attributes:
        reference: What judges may compare with, by key.
    """

    data: Annotated[SingleTurnData | MultiTurnData, Discriminator("type")]
    reference: dict[str, JsonValue] | None = None
    tags: tuple[str, ...] = ()
    model_type: Literal["eval_input"] = "eval_input"

    @property
    def topic(self) -> str | None:
        """What it is about; Kiln passes this key over, and its app drops it when it saves."""
        value = (self.model_extra or {}).get(TOPIC)
        return value if isinstance(value, str) and value else None

    @property
    def opening_text(self) -> str:
        """What the user says first; "" if a conversation has no fixed first message."""
        data = self.data
        message = data.user_message if data.type == "single_turn" else data.first_message
        return message.text if message else ""

    @field_validator("tags")
    @classmethod
    def _tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        check_tags(tags)
        return tags
