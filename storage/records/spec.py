"""Specs: what a task's outputs must be like, in 17 kinds."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, field_validator

from storage.records.evaluation import EvalStatus
from storage.records.record import Name, Part, Record, Text
from storage.records.run import check_tags
from storage.records.task import Priority


def _absent(value: str | None) -> bool:
    return value is None


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _said_if_empty(value: object) -> object:
    return NO_EXAMPLES if value == "" else value


NO_EXAMPLES = "No examples yet."
"""What files hold where examples are required and there are none."""

Optional = Annotated[str | None, BeforeValidator(_none_if_empty), Field(exclude_if=_absent)]
"""Text that a file leaves out if there is none."""

Examples = Annotated[Text, BeforeValidator(_said_if_empty)]
"""Text that a file must hold; `NO_EXAMPLES` if there is none."""


class DesiredBehaviour(Part):
    """How the task should behave."""

    spec_type: Literal["desired_behaviour"] = "desired_behaviour"
    desired_behaviour_description: Text
    correct_behaviour_examples: Optional = None
    incorrect_behaviour_examples: Optional = None


class Issue(Part):
    """A fault that must not occur."""

    spec_type: Literal["issue"] = "issue"
    issue_description: Text
    issue_examples: Optional = None
    non_issue_examples: Optional = None


class Tone(Part):
    """The tone of outputs."""

    spec_type: Literal["tone"] = "tone"
    core_requirement: Text
    tone_description: Text
    acceptable_examples: Optional = None
    unacceptable_examples: Optional = None


class Formatting(Part):
    """The form of outputs."""

    spec_type: Literal["formatting"] = "formatting"
    core_requirement: Text
    formatting_requirements: Text
    proper_formatting_examples: Optional = None
    improper_formatting_examples: Optional = None


class Localization(Part):
    """Language and place."""

    spec_type: Literal["localization"] = "localization"
    core_requirement: Text
    localization_requirements: Text
    violation_examples: Examples = NO_EXAMPLES


class AppropriateToolUse(Part):
    """When a tool is to be used."""

    spec_type: Literal["appropriate_tool_use"] = "appropriate_tool_use"
    core_requirement: Text
    tool_use_guidelines: Text
    appropriate_tool_use_examples: Text
    inappropriate_tool_use_examples: Text
    tool_id: Optional = None
    tool_function_name: Optional = None


class ReferenceAnswerAccuracy(Part):
    """Agreement with a reference answer."""

    spec_type: Literal["reference_answer_accuracy"] = "reference_answer_accuracy"
    core_requirement: Text
    reference_answer_accuracy_description: Text
    accurate_examples: Text
    inaccurate_examples: Text


class FactualCorrectness(Part):
    """Facts that must be right."""

    spec_type: Literal["factual_correctness"] = "factual_correctness"
    core_requirement: Text
    factually_inaccurate_examples: Examples = NO_EXAMPLES


class Hallucinations(Part):
    """Nothing is made up."""

    spec_type: Literal["hallucinations"] = "hallucinations"
    core_requirement: Text
    hallucinations_examples: Examples = NO_EXAMPLES


class Completeness(Part):
    """Nothing is missing."""

    spec_type: Literal["completeness"] = "completeness"
    core_requirement: Text
    complete_examples: Examples = NO_EXAMPLES
    incomplete_examples: Examples = NO_EXAMPLES


class Toxicity(Part):
    """Nothing toxic."""

    spec_type: Literal["toxicity"] = "toxicity"
    core_requirement: Text
    toxicity_examples: Examples = NO_EXAMPLES


class Bias(Part):
    """Nothing biased."""

    spec_type: Literal["bias"] = "bias"
    core_requirement: Text
    bias_examples: Examples = NO_EXAMPLES


class Maliciousness(Part):
    """Nothing malicious."""

    spec_type: Literal["maliciousness"] = "maliciousness"
    core_requirement: Text
    malicious_examples: Examples = NO_EXAMPLES


class Nsfw(Part):
    """Nothing unfit for work."""

    spec_type: Literal["nsfw"] = "nsfw"
    core_requirement: Text
    nsfw_examples: Examples = NO_EXAMPLES


class Taboo(Part):
    """Nothing that is taboo."""

    spec_type: Literal["taboo"] = "taboo"
    core_requirement: Text
    taboo_examples: Examples = NO_EXAMPLES


class Jailbreak(Part):
    """Resistance to attempts to break the rules."""

    spec_type: Literal["jailbreak"] = "jailbreak"
    core_requirement: Text
    jailbroken_examples: Examples = NO_EXAMPLES


class PromptLeakage(Part):
    """The prompt stays secret."""

    spec_type: Literal["prompt_leakage"] = "prompt_leakage"
    core_requirement: Text
    leakage_examples: Examples = NO_EXAMPLES


SpecProperties = Annotated[
    DesiredBehaviour
    | Issue
    | Tone
    | Formatting
    | Localization
    | AppropriateToolUse
    | ReferenceAnswerAccuracy
    | FactualCorrectness
    | Hallucinations
    | Completeness
    | Toxicity
    | Bias
    | Maliciousness
    | Nsfw
    | Taboo
    | Jailbreak
    | PromptLeakage,
    Discriminator("spec_type"),
]


class TaskSample(Part):
    """One example of an input and its output."""

    input: str
    output: str


class StepConfig(Part):
    """Model and prompt of one step of data generation."""

    model_name: str
    provider_name: str
    prompt: str


class SyntheticDataConfig(Part):
    """How the data of a spec was generated."""

    topic_generation_config: StepConfig
    input_generation_config: StepConfig
    output_generation_config: StepConfig


class Spec(Record):
    """A spec; `definition` is its text, `properties` its fields."""

    name: Name
    definition: Text
    properties: SpecProperties
    priority: Priority = 1
    status: EvalStatus = "active"
    tags: tuple[str, ...] = ()
    eval_id: str | None = None
    task_sample: TaskSample | None = None
    synthetic_data_generation_session_config: SyntheticDataConfig | None = None
    model_type: Literal["spec"] = "spec"

    @field_validator("tags")
    @classmethod
    def _tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        check_tags(tags)
        return tags
