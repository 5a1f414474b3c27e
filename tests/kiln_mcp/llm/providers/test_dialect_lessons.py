"""What the sentences of servers teach, each as it was seen in the field."""

from dataclasses import replace

import pytest

from kiln_mcp.llm import Message, ModelRequest, Tool
from kiln_mcp.llm.providers.dialect import STANDARD
from kiln_mcp.llm.providers.dialect_lessons import lesson_of

LOOK = Tool("look", "Look around.", {"type": "object", "properties": {}})
REQUEST = ModelRequest(
    "m",
    (Message("system", "You count."), Message("user", "How old?")),
    schema={"type": "object", "properties": {"age": {"type": "integer"}}},
    seed=3,
    stop=("x",),
    top_logprobs=1,
)
SENTENCES = {
    "length_field=max_completion_tokens": [
        "Unsupported parameter: 'max_tokens' is refused. Use 'max_completion_tokens' instead.",
    ],
    "most_tokens=900": [
        "max_tokens (1024) exceeds the model's maximum output tokens (900).",
        "The maximum tokens you requested exceeds the model limit of 900. Try again with less.",
        "max_tokens: must be ≤ 900",
        "Range of max_tokens should be [1, 900]",
        "Input validation error: `max_new_tokens` must be <= 900. Given: 1024",
        "max_completion_tokens is too large: 1024. This model supports at most 900 tokens",
        "The value of max_tokens is out of range: 1024 > 900",
        "Value for max_tokens must be between 1 and 900",
        "Unable to submit request because it has a maxOutputTokens value of 1024 but the supported "
        "range is from 1 (inclusive) to 901 (exclusive). Update the value and try again.",
    ],
    "most_tokens=450": [
        "This model's maximum context length is 900 tokens. However, you requested 1048 tokens (24 "
        "in the messages, 1024 in the completion). Please reduce the length.",
        "'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum context "
        "length is 900 tokens and your request has 24 input tokens (1024 > 900 - 24).",
        "`inputs` tokens + `max_new_tokens` must be <= 900. Given: 24 `inputs` tokens and 1024 "
        "`max_new_tokens`",
    ],
    "temperature=default": [
        "invalid temperature: only 1 is allowed for this model",
        "`temperature` may only be set to 1 when thinking is enabled.",
        "temperature is deprecated for this model.",
        "temperature and top_p cannot both be specified",
    ],
    "temperature=positive": [
        "temperature: 0.0 is not in the range (0.0, 2.0]",
        "field temperature invalid, should be in (0,1)",
        "Input validation error: `temperature` must be strictly positive",
    ],
    "seed=no": [
        "Additional properties are not allowed ('seed' was unexpected)",
        "body -> seed: extra fields not permitted",
        'Invalid JSON payload received. Unknown name "seed": Cannot find field.',
        "Unrecognized request argument supplied: seed",
    ],
    "stop=no": ["Model grok-4 does not support parameter stop."],
    "logprobs=no": ["You are not allowed to request logprobs from this model."],
    "json_mode=object": [
        "This model does not support response format `json_schema`.",
        "This response_format type is unavailable now",
        "Structured outputs are not supported by this model",
        "Model does not support structured generation",
        "Grammar error: unimplemented keys",
    ],
    "json_mode=object for this schema": [
        "The response schema was too complex",
        "A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth.",
        "The specified schema produces a constraint that has too many states for serving.",
        "outlines: Unsupported feature in schema",
    ],
    "system_role=no": [
        "Developer instruction is not enabled for models/gemma-3-27b-it",
        "messages.0.role: Input should be 'user' or 'assistant'",
        "Only user, assistant and tool roles are supported, got system.",
        "Please use a valid role: user, model.",
        "A conversation must start with a user message. Try again with one that does.",
        "First message must be from user",
    ],
    "turns=alternate": [
        "messages: roles must alternate, but found multiple user roles in a row",
        "Unexpected role 'system' after role 'user'",
        "only the first message can be a system message",
        "Please ensure that multiturn requests alternate between user and model.",
    ],
    "tools=words": [
        "registry.ollama.ai/library/gemma3:latest does not support tools",
        "tools param requires --jinja flag",
        "Function calling is not enabled for models/gemma",
    ],
    "streaming=no": ["Your organization must be verified to stream this model."],
    "streaming_usage=no": ["Unrecognized request argument supplied: stream_options"],
    "streaming=only": [
        "This model only support stream mode, please enable the stream parameter to access it.",
        "Requests with max_tokens > 4096 must have stream=true",
        "parameter.enable_thinking must be set to false for non-streaming calls",
        "Streaming is strongly required for operations that may take longer than 10 minutes.",
    ],
}
CASES = [(lesson, sentence) for lesson, group in SENTENCES.items() for sentence in group]


@pytest.mark.parametrize(("expected", "sentence"), CASES)
def test_a_refusal_teaches_what_it_says(expected: str, sentence: str) -> None:
    request = replace(REQUEST, tools=(LOOK,)) if expected.startswith("tools") else REQUEST
    streams = expected in {"streaming=no", "streaming_usage=no"}
    lesson = lesson_of(sentence, request, STANDARD, streams=streams)
    assert lesson is not None
    ending = " for this schema" if lesson.is_about_schema else ""
    assert f"{lesson.feature}={lesson.value}{ending}" == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "The model is overloaded.",
        "the request exceeds the available context size",
        "This model's maximum context length is 8192 tokens, your prompt has 9000.",
        "Failed to generate JSON. Please adjust your prompt.",
        "The schema of the database is being changed.",
        "Your system is not supported in this region.",
        "messages must not be empty",
    ],
)
def test_a_refusal_of_something_else_teaches_nothing(sentence: str) -> None:
    assert lesson_of(sentence, REQUEST, STANDARD, streams=False) is None
