"""The 17 kinds of spec: their purposes, fields and texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter, ValidationError

from storage import NO_EXAMPLES, Spec
from storage.errors import Refusal
from storage.records.record import first_fault
from storage.records.spec import SpecProperties


class SpecKind(StrEnum):
    """What a spec is about; the values are Kiln's."""

    DESIRED_BEHAVIOUR = "desired_behaviour"
    ISSUE = "issue"
    TONE = "tone"
    FORMATTING = "formatting"
    LOCALIZATION = "localization"
    APPROPRIATE_TOOL_USE = "appropriate_tool_use"
    REFERENCE_ANSWER_ACCURACY = "reference_answer_accuracy"
    FACTUAL_CORRECTNESS = "factual_correctness"
    HALLUCINATIONS = "hallucinations"
    COMPLETENESS = "completeness"
    TOXICITY = "toxicity"
    BIAS = "bias"
    MALICIOUSNESS = "maliciousness"
    NSFW = "nsfw"
    TABOO = "taboo"
    JAILBREAK = "jailbreak"
    PROMPT_LEAKAGE = "prompt_leakage"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of one kind.

    Attributes:
        purpose: When to choose it, one clause.
        core: The field that holds the requirement itself.
        detail: The field that holds it in full; the core field if there is no other.
        good: The field for examples that pass; None if the kind has none.
        bad: The field for examples that fail; None if the kind has none.
        required: Fields that must not be empty.
        optional: Further fields.
    """

    purpose: str
    core: str
    detail: str
    good: str | None
    bad: str | None
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """Return all fields, the required ones first."""
        return (*self.required, *self.optional)


def _form(
    purpose: str, core: str, *names: str, good: str | None = None, bad: str | None = None
) -> Form:
    """Return a form; a further name that ends in ? is that of an optional field."""
    required = tuple(name for name in names if not name.endswith("?"))
    optional = tuple(name[:-1] for name in names if name.endswith("?"))
    detail = next((name for name in required if name not in {good, bad}), core)
    return Form(purpose, core, detail, good, bad, (core, *required), optional)


def _risk(purpose: str, examples: str) -> Form:
    return _form(purpose, "core_requirement", f"{examples}?", bad=examples)


FORMS: Final[Mapping[SpecKind, Form]] = {
    SpecKind.DESIRED_BEHAVIOUR: _form(
        "something that the output must do",
        "desired_behaviour_description",
        "correct_behaviour_examples?",
        "incorrect_behaviour_examples?",
        good="correct_behaviour_examples",
        bad="incorrect_behaviour_examples",
    ),
    SpecKind.ISSUE: _form(
        "a fault that was seen and must not come back",
        "issue_description",
        "issue_examples?",
        "non_issue_examples?",
        good="non_issue_examples",
        bad="issue_examples",
    ),
    SpecKind.TONE: _form(
        "how the output sounds",
        "core_requirement",
        "tone_description",
        "acceptable_examples?",
        "unacceptable_examples?",
        good="acceptable_examples",
        bad="unacceptable_examples",
    ),
    SpecKind.FORMATTING: _form(
        "the output's form: length, layout, JSON, headings",
        "core_requirement",
        "formatting_requirements",
        "proper_formatting_examples?",
        "improper_formatting_examples?",
        good="proper_formatting_examples",
        bad="improper_formatting_examples",
    ),
    SpecKind.LOCALIZATION: _form(
        "the output's language, units, dates and customs",
        "core_requirement",
        "localization_requirements",
        "violation_examples?",
        bad="violation_examples",
    ),
    SpecKind.APPROPRIATE_TOOL_USE: _form(
        "when a tool must be called and when not",
        "core_requirement",
        "tool_use_guidelines",
        "appropriate_tool_use_examples",
        "inappropriate_tool_use_examples",
        "tool_id?",
        "tool_function_name?",
        good="appropriate_tool_use_examples",
        bad="inappropriate_tool_use_examples",
    ),
    SpecKind.REFERENCE_ANSWER_ACCURACY: _form(
        "agreement with a known right answer",
        "core_requirement",
        "reference_answer_accuracy_description",
        "accurate_examples",
        "inaccurate_examples",
        good="accurate_examples",
        bad="inaccurate_examples",
    ),
    SpecKind.FACTUAL_CORRECTNESS: _risk(
        "facts about the world that must be right", "factually_inaccurate_examples"
    ),
    SpecKind.HALLUCINATIONS: _risk(
        "nothing may be made up beyond the input", "hallucinations_examples"
    ),
    SpecKind.COMPLETENESS: _form(
        "nothing that matters may be missing",
        "core_requirement",
        "complete_examples?",
        "incomplete_examples?",
        good="complete_examples",
        bad="incomplete_examples",
    ),
    SpecKind.TOXICITY: _risk("no insults, threats or hate", "toxicity_examples"),
    SpecKind.BIAS: _risk("no unfair treatment of groups of people", "bias_examples"),
    SpecKind.MALICIOUSNESS: _risk("no help with doing harm", "malicious_examples"),
    SpecKind.NSFW: _risk("nothing unfit for work", "nsfw_examples"),
    SpecKind.TABOO: _risk("subjects that must not be spoken of", "taboo_examples"),
    SpecKind.JAILBREAK: _risk(
        "the rules hold against attempts to talk the model out of them", "jailbroken_examples"
    ),
    SpecKind.PROMPT_LEAKAGE: _risk("the system prompt stays secret", "leakage_examples"),
}

_PROPERTIES: TypeAdapter[SpecProperties] = TypeAdapter(SpecProperties)


def label(field: str) -> str:
    """Return a field's heading: `core_requirement` becomes "Core Requirement"."""
    return field.replace("_", " ").title()


def definition(kind: SpecKind, fields: Mapping[str, str]) -> str:
    """Return the spec's text: a heading and the text of each field that has one."""
    parts = [f"## {label(name)}\n{fields[name]}" for name in FORMS[kind].fields if fields.get(name)]
    return "\n\n".join(parts)


def forms_text() -> str:
    """Return all kinds with their fields, for a model that must choose."""
    lines = [
        f"- {kind}: {form.purpose}. Fields: "
        + ", ".join([*(f"{name}*" for name in form.required), *form.optional])
        for kind, form in FORMS.items()
    ]
    return "\n".join(lines)


def properties_of(kind: SpecKind, fields: Mapping[str, str]) -> SpecProperties:
    """Return the fields as Kiln's format holds them.

    Required fields for examples may be empty: a placeholder fills them.

    Raises:
        Refusal: A field is unknown, or a required one is empty.
    """
    form = FORMS[kind]
    unknown = [name for name in fields if name not in form.fields]
    if unknown:
        raise _mismatch(kind, f"unknown {', '.join(unknown)}")
    texts = {name: value.strip() for name, value in fields.items() if value.strip()}
    for name in (form.good, form.bad):
        if name is not None and name in form.required:
            texts.setdefault(name, NO_EXAMPLES)
    missing = [name for name in form.required if name not in texts]
    if missing:
        raise _mismatch(kind, f"{', '.join(missing)} missing or empty")
    try:
        return _PROPERTIES.validate_python({"spec_type": str(kind), **texts})
    except ValidationError as error:
        raise _mismatch(kind, first_fault(error)) from error


def fields_of(spec: Spec) -> dict[str, str]:
    """Return the fields of a saved spec that have a text, without placeholders."""
    texts = spec.properties.model_dump()
    names = [name for name in FORMS[kind_of(spec)].fields if texts.get(name)]
    return {name: str(texts[name]) for name in names if texts[name] != NO_EXAMPLES}


def kind_of(spec: Spec) -> SpecKind:
    """Return the kind of a saved spec."""
    return SpecKind(spec.properties.spec_type)


def _mismatch(kind: SpecKind, reason: str) -> Refusal:
    form = FORMS[kind]
    return Refusal(
        "A spec of kind {kind} cannot be made of these fields: {reason}. "
        "Required: {required}; optional: {optional}.",
        kind=kind,
        reason=reason,
        required=form.required,
        optional=form.optional or "none",
    )
