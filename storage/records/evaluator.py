"""Evaluators (eval configs): the two older kinds of judges, and the eight kinds of newer files."""

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from storage.records.record import Name, Part, Record, Text
from storage.records.workbench_checks import (
    CHECK_KEY,
    ExtensionProperties,
    WorkbenchCheck,
    is_extension_type,
)


class StepsJudge(Part):
    """A model that thinks through steps and then scores (`llm_as_judge` and `g_eval`)."""

    eval_steps: tuple[str, ...]
    task_description: str | None = None


class LlmJudge(Part):
    """A model with a template; `g_eval` weighs scores by the model's own probabilities.

    Attributes:
        max_tokens: The longest verdict, reasoning included; null for the usual one. Kiln does not
            know it.
        panel_of: The id of the judge whose panel it belongs to; null for a judge of its own. Kiln
            does not know it.
    """

    type: Literal["llm_judge"] = "llm_judge"
    model_name: str
    model_provider: str
    system_prompt: str | None = None
    prompt_template: str
    reference_keys: tuple[str, ...] = ()
    thinking_instruction: str | None = None
    g_eval: bool = False
    judge_instructions: tuple[str, ...] | None = None
    max_tokens: int | None = None
    panel_of: str | None = None

    @model_serializer(mode="wrap")
    def _leave_out_usual_values(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write no key that Kiln does not know, unless it says something."""
        return _without_null(_without_null(handler(self), "max_tokens"), "panel_of")


class FieldRules(Part):
    """The rules of one field, where they differ from those of the whole output.

    Attributes:
        field: Its path with dots; `lines.sum` is a field of each object in the list `lines`.
        text: As in ComparisonRules; null as for the whole output, like the next five.
        item_key: For a list of objects: the field by whose value two objects are compared. Their
            order does not count then.
    """

    field: Text
    text: Literal["exact", "trimmed", "normalised", "similar"] | None = None
    similarity: float | None = Field(default=None, ge=0, le=1)
    number_tolerance: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    relative_tolerance: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    date_tolerance_days: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    list_order: Literal["same", "any"] | None = None
    item_key: Text | None = None


class ComparisonRules(Part):
    """When two values are one. Kiln does not know these rules: it compares text as it is.

    Attributes:
        text: `exact`: as it is; `trimmed`: without white space at the ends, in one Unicode form;
            `normalised`: also without case, punctuation and repeated space; `similar`: normalised,
            and as similar as `similarity` says.
        similarity: The least similarity of two texts that count as one, from 0 to 1.
        number_tolerance: The most that two numbers differ.
        relative_tolerance: The same, as a share of the expected number.
        date_tolerance_days: The most days that two dates differ.
        list_order: Whether the order of a list counts.
        ignored_fields: Fields that do not count, by their paths with dots.
        fields: The rules of single fields.
    """

    text: Literal["exact", "trimmed", "normalised", "similar"] = "trimmed"
    similarity: float = Field(default=0.9, ge=0, le=1)
    number_tolerance: float = Field(default=0, ge=0, allow_inf_nan=False)
    relative_tolerance: float = Field(default=0, ge=0, allow_inf_nan=False)
    date_tolerance_days: float = Field(default=0, ge=0, allow_inf_nan=False)
    list_order: Literal["same", "any"] = "same"
    ignored_fields: tuple[str, ...] = ()
    fields: tuple[FieldRules, ...] = ()


class ExactMatch(Part):
    """The output equals a value, or the reference's.

    Attributes:
        comparison: When two values are one; null for the usual rules.
    """

    type: Literal["exact_match"] = "exact_match"
    value_expression: str | None = None
    expected_value: str | None = None
    reference_key: Text | None = None
    case_sensitive: bool = True
    comparison: ComparisonRules | None = None

    @model_serializer(mode="wrap")
    def _leave_out_usual_rules(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write no key that Kiln does not know, unless it says something."""
        return _without_null(handler(self), "comparison")

    @model_validator(mode="after")
    def _check_source(self) -> "ExactMatch":
        _exactly_one(expected_value=self.expected_value, reference_key=self.reference_key)
        return self


class PatternMatch(Part):
    """A regular expression is found in the output, or is not."""

    type: Literal["pattern_match"] = "pattern_match"
    value_expression: str | None = None
    pattern: str
    mode: Literal["must_match", "must_not_match"] = "must_match"


class Contains(Part):
    """The output contains a text, or does not."""

    type: Literal["contains"] = "contains"
    value_expression: str | None = None
    substring: str | None = None
    reference_key: Text | None = None
    case_sensitive: bool = True
    mode: Literal["must_contain", "must_not_contain"] = "must_contain"

    @model_validator(mode="after")
    def _check_source(self) -> "Contains":
        _exactly_one(substring=self.substring, reference_key=self.reference_key)
        return self


class SetCheck(Part):
    """The output's items compare with a set."""

    type: Literal["set_check"] = "set_check"
    value_expression: str | None = None
    expected_set: tuple[str, ...] | None = None
    reference_key: Text | None = None
    mode: Literal["subset", "superset", "equal"]

    @model_validator(mode="after")
    def _check_source(self) -> "SetCheck":
        _exactly_one(expected_set=self.expected_set, reference_key=self.reference_key)
        return self


class ArgMatch(Part):
    """What an argument of a tool call must be."""

    value: JsonValue
    match_mode: Literal["exact", "contains", "regex"] = "exact"


class ToolCallSpec(Part):
    """A tool call that is expected."""

    tool_name: str
    expected_args: dict[str, ArgMatch] | None = None


class ToolCallCheck(Part):
    """The trace has the expected tool calls."""

    type: Literal["tool_call_check"] = "tool_call_check"
    expected_tools: tuple[ToolCallSpec, ...] = Field(min_length=1)
    match_mode: Literal["any", "all", "ordered", "never"] = "all"
    on_unexpected_tools: Literal["ignore", "fail"] = "ignore"


class StepCountCheck(Part):
    """The trace has so many steps."""

    type: Literal["step_count_check"] = "step_count_check"
    count_type: Literal["tool_calls", "model_responses", "turns"]
    min_count: int | None = None
    max_count: int | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> "StepCountCheck":
        if self.min_count is None and self.max_count is None:
            raise ValueError("give min_count, max_count or both")
        return self


class CodeEval(Part):
    """A function `score()` in the file scorer.py beside the evaluator.

    Attributes:
        code: The text of scorer.py: to be saved with a new evaluator, or once it was read. The
            record's own file does not hold it.
    """

    type: Literal["code_eval"] = "code_eval"
    reference_keys: tuple[str, ...] = ()
    timeout_seconds: int = Field(default=180, ge=1, le=300)
    tool_allowlist: tuple[str, ...] = ()
    code: str | None = Field(default=None, exclude=True)


def _without_null(fields: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != key or value is not None}


def _exactly_one(**values: object) -> None:
    if sum(value is not None for value in values.values()) != 1:
        raise ValueError(f"give exactly one of {' and '.join(values)}")


def _evaluator_type(value: object) -> str:
    if isinstance(value, WorkbenchCheck) or (isinstance(value, dict) and CHECK_KEY in value):
        return "workbench_check"
    if isinstance(value, dict):
        kind = str(value.get("type", "steps"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    else:
        kind = str(getattr(value, "type", "steps"))
    return "extension" if is_extension_type(kind) else kind


EvaluatorProperties = Annotated[
    Annotated[StepsJudge, Tag("steps")]
    | Annotated[LlmJudge, Tag("llm_judge")]
    | Annotated[ExactMatch, Tag("exact_match")]
    | Annotated[PatternMatch, Tag("pattern_match")]
    | Annotated[Contains, Tag("contains")]
    | Annotated[SetCheck, Tag("set_check")]
    | Annotated[ToolCallCheck, Tag("tool_call_check")]
    | Annotated[StepCountCheck, Tag("step_count_check")]
    | Annotated[CodeEval, Tag("code_eval")]
    | Annotated[WorkbenchCheck, Tag("workbench_check")]
    | Annotated[ExtensionProperties, Tag("extension")],
    Discriminator(_evaluator_type),
]


class EvalConfig(Record):
    """An evaluator of an eval.

    Attributes:
        model_name: The judging model; null for the kinds of `v2`.
        config_type: `v2` for every kind but `StepsJudge`.
    """

    name: Name
    model_name: str | None = None
    model_provider: str | None = None
    config_type: Literal["g_eval", "llm_as_judge", "v2"] = "g_eval"
    properties: EvaluatorProperties
    model_type: Literal["eval_config"] = "eval_config"

    @property
    def program(self) -> str | None:
        """The code of a code evaluator, or what Kiln needs in its place."""
        properties = self.properties
        return properties.code if isinstance(properties, CodeEval | WorkbenchCheck) else None

    @model_validator(mode="after")
    def _kind_fits_properties(self) -> "EvalConfig":
        older = isinstance(self.properties, StepsJudge)
        if older == (self.config_type == "v2"):
            raise ValueError(f"config_type {self.config_type} does not fit these properties")
        if older != (self.model_name is not None and self.model_provider is not None):
            raise ValueError("model_name and model_provider are for g_eval and llm_as_judge alone")
        return self
