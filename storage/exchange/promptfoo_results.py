"""The results of promptfoo: what each provider answered to each test, and how it was graded."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from storage.exchange.columns import Row
from storage.exchange.dataset_shapes import example_of_payloads
from storage.exchange.examples import (
    AnswerRecord,
    Example,
    fields_of,
    is_empty,
    object_of,
    text_of_value,
)
from storage.exchange.traces.spans import count_of, number_of
from storage.records import Usage

_WAYS: Final = frozenset({"chat", "completion", "responses", "messages", "realtime"})
"""What promptfoo puts between the name of a provider and that of its model."""
_LONGEST: Final = 2000


class PromptfooResults:
    """`vars` with the `response` of a provider."""

    name = "promptfoo results"

    def fits(self, row: Row) -> bool:
        """Whether a row has variables, and what a provider answered or why it did not."""
        fields = fields_of(row)
        has_answer = bool({"response", "error"} & fields.keys()) and "provider" in fields
        return has_answer and object_of(fields.get("vars")) is not None

    def read(self, row: Row) -> Example:
        """Return the example of a row; what was answered is no reference.

        Raises:
            ValueError: It has no variables or no answer.
        """
        fields = fields_of(row)
        response = fields_of(object_of(fields.get("response")) or {})
        output = response.get("output")
        if is_empty(output):
            reason = text_of_value(response.get("error") or fields.get("error") or "it is empty")
            raise ValueError(f"the provider gave no answer: {reason[:_LONGEST]}")
        example = example_of_payloads(fields, object_of(fields.get("vars")), None)
        return replace(example, answer=output, record=_record(fields, response))


def _record(fields: Mapping[str, object], response: Mapping[str, object]) -> AnswerRecord:
    provider, model = _names(fields.get("provider"))
    own_id = fields.get("id")
    grading = fields_of(object_of(fields.get("gradingresult")) or {})
    properties = {
        "promptfoo_pass": str(bool(fields["success"])).lower() if "success" in fields else None,
        "promptfoo_score": number_of(fields.get("score")),
        "promptfoo_reason": str(grading.get("reason") or "")[:_LONGEST] or None,
    }
    return AnswerRecord(
        id=None if is_empty(own_id) else f"promptfoo:{own_id}",
        model=model,
        provider=provider,
        usage=_usage(fields, response),
        properties={name: value for name, value in properties.items() if value is not None},
    )


def _names(value: object) -> tuple[str | None, str | None]:
    """Return the names of a provider and its model: `openai:chat:gpt-4o` names both."""
    data = object_of(value)
    text = text_of_value((data.get("id") if data else value) or "")
    provider, _, rest = text.partition(":")
    way, _, model = rest.partition(":")
    return provider or None, (model if way in _WAYS and model else rest) or provider or None


def _usage(fields: Mapping[str, object], response: Mapping[str, object]) -> Usage | None:
    tokens = fields_of(object_of(response.get("tokenusage") or fields.get("tokenusage")) or {})
    usage = Usage(
        input_tokens=count_of(tokens.get("prompt")),
        output_tokens=count_of(tokens.get("completion")),
        total_tokens=count_of(tokens.get("total")),
        cached_tokens=count_of(tokens.get("cached")),
        cost=number_of(response.get("cost", fields.get("cost"))),
        total_llm_latency_ms=count_of(fields.get("latencyms")),
    )
    return usage if usage != Usage() else None
