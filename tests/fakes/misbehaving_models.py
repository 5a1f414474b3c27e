"""Models of OpenAI-compatible servers that misbehave, each in a way that was seen in the field."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

Body = Mapping[str, Any]
Condition = Callable[[Body], bool]
TEXT = "Paris"
NO_FORMAT: Mapping[str, Any] = {"type": "text"}
VERDICT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "right": {"type": "string", "enum": ["pass", "fail"]},
    },
    "required": ["reasoning", "right"],
    "additionalProperties": False,
}
QUALITY: dict[str, Any] = {
    "type": "object",
    "properties": {"quality": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["quality"],
    "additionalProperties": False,
}
PASS = {"reasoning": "checked", "right": "pass"}


@dataclass(frozen=True)
class Refusal:
    """A reply that is not 200, if a request fits the condition."""

    condition: Condition
    message: str
    status: int = 400
    code: str | None = None

    @property
    def text(self) -> str:
        error = {"message": self.message, "type": self.code or "invalid_request_error"}
        return json.dumps({"error": error | ({"code": self.code} if self.code else {})})


@dataclass(frozen=True)
class Misbehaviour:
    """A model, what it is asked, and what comes of it.

    Attributes:
        name: The model's name.
        refusals: What it refuses.
        message: The fields of its message beside the role.
        finish: Why its answers end.
        usage: Its usage.
        asks: Fields of the request beside its messages.
        expects: The answer's fields.
        error: A part of the error's sentence; empty for an answer.
        state: The state of the answer that cannot be used; empty for an answer or another error.
        sends: How many requests come, corrections and dialects included; 0 if it does not matter.
        ending: How its streams end: `whole`, `early`, `torn` within an event, `no-done`, or
            `done-only` without a reason.
        litellm_differs: Whether litellm changes the answer on its way, so that only errors of ours
            are expected of it.
    """

    name: str
    refusals: tuple[Refusal, ...] = ()
    message: Mapping[str, Any] = field(default_factory=lambda: {"content": TEXT})
    finish: str | None = "stop"
    usage: Mapping[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    )
    asks: Mapping[str, Any] = field(default_factory=dict[str, Any])
    expects: Mapping[str, Any] = field(default_factory=lambda: {"text": TEXT})
    error: str = ""
    state: str = ""
    sends: int = 0
    ending: str = "whole"
    litellm_differs: bool = False


def has(name: str) -> Condition:
    return lambda body: name in body


def has_role(role: str) -> Condition:
    return lambda body: any(message["role"] == role for message in body["messages"])


def has_format(*kinds: str) -> Condition:
    return lambda body: str((body.get("response_format") or NO_FORMAT)["type"]) in kinds


def system_after_first(body: Body) -> bool:
    return any(message["role"] == "system" for message in body["messages"][1:])


def repeats_a_role(body: Body) -> bool:
    roles = [message["role"] for message in body["messages"]]
    return any(first == second for first, second in pairwise(roles))


def no_alternation(body: Body) -> bool:
    """Mistral's first template: a system message takes the user's turn."""
    return any(
        (message["role"] == "user") is bool(place % 2)
        for place, message in enumerate(body["messages"])
    )


def longer_than(limit: int) -> Condition:
    return lambda body: body.get("max_tokens", 0) > limit


def refuses(name: str, sentence: str, condition: Condition, **more: Any) -> Misbehaviour:
    status, code = more.pop("status", 400), more.pop("code", None)
    return Misbehaviour(name, (Refusal(condition, sentence, status, code),), **more)


JSON: Mapping[str, Any] = {
    "message": {"content": json.dumps(PASS)},
    "asks": {"schema": VERDICT},
    "expects": {"value": PASS},
}
TOOL_IN_WORDS: Mapping[str, Any] = {
    "message": {"content": '{"answer": "Paris"}'},
    "asks": {"tools": True},
}


def says(name: str, content: Any, **more: Any) -> Misbehaviour:
    return Misbehaviour(name, message={"content": content}, **more)


def judges(name: str, content: str, value: object, **more: Any) -> Misbehaviour:
    return says(name, content, expects={"value": value}, **more)


def unusable(name: str, content: Any, state: str, **more: Any) -> Misbehaviour:
    return says(name, content, state=state, sends=more.pop("sends", 1), **more)


FORMATS = ("json_schema", "json_object")
FORMAT_REFUSAL = Refusal(has_format(*FORMATS), "response_format is not supported")
ALTERNATION_REFUSAL = Refusal(no_alternation, "Conversation roles must alternate user/assistant/…")
DIALECTS = [
    refuses("no-format", "response_format is not supported.", has_format(*FORMATS), **JSON),
    refuses(
        "object-only",
        "'response_format.type' must be one of 'json_object', 'text'.",
        has_format("json_schema"),
        **JSON,
    ),
    refuses("no-guided", "guided_json is not available here", has_format(*FORMATS), **JSON),
    refuses("bad-grammar", "failed to parse grammar", has_format("json_schema"), **JSON),
    refuses(
        "extra-format",
        "[{'type': 'extra_forbidden', 'loc': ('body', 'response_format'), 'msg': 'Extra inputs'}]",
        has_format(*FORMATS),
        status=422,
        **JSON,
    ),
    refuses(
        "this-schema",
        "Invalid schema for response_format 'answer': additionalProperties must be false",
        has_format("json_schema"),
        **JSON,
    ),
    refuses("no-system", "System role not supported", has_role("system")),
    refuses("no-system-500", "System role not supported", has_role("system"), status=500),
    refuses("only-two-roles", "Only user and assistant roles are supported!", has_role("system")),
    refuses(
        "no-developer", "Developer instruction is not enabled for models/g", has_role("system")
    ),
    refuses("odd-role", 'messages: Unexpected role "system".', has_role("system")),
    refuses(
        "role-list",
        "'system' is not one of ['user', 'assistant'] - 'messages.0.role'",
        has_role("system"),
    ),
    refuses("no-system-json", "System role not supported", has_role("system"), **JSON),
    refuses(
        "alternate",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        repeats_a_role,
        asks={"repeats": True},
    ),
    refuses(
        "alternate-500",
        "After the optional system message, conversation roles must alternate",
        repeats_a_role,
        status=500,
        asks={"repeats": True},
    ),
    refuses("alternate-no-system", "Conversation roles must alternate user/…", no_alternation),
    refuses(
        "system-first",
        "System message must be at the beginning.",
        system_after_first,
        asks={"repeats": True, "late_system": True},
    ),
    refuses(
        "no-late-system",
        "System role not supported",
        has_role("system"),
        asks={"repeats": True, "late_system": True},
    ),
    Misbehaviour(
        "words-alternate",
        (FORMAT_REFUSAL, ALTERNATION_REFUSAL),
        **JSON,
    ),
    Misbehaviour(
        "words-alternate-prose",
        (FORMAT_REFUSAL, ALTERNATION_REFUSAL),
        message={"content": "It depends on the city."},
        asks={"schema": VERDICT},
        state="unreadable",
    ),
    Misbehaviour(
        "words-system-first",
        (
            FORMAT_REFUSAL,
            Refusal(system_after_first, "System message must be at the beginning."),
        ),
        **JSON,
    ),
    Misbehaviour(
        "words-no-system",
        (
            FORMAT_REFUSAL,
            Refusal(has_role("system"), "System role not supported", 500),
        ),
        **JSON,
    ),
    refuses(
        "completion-tokens",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        has("max_tokens"),
    ),
    refuses(
        "extra-max-tokens",
        "Extra inputs are not permitted: max_tokens",
        has("max_tokens"),
        status=422,
    ),
    refuses(
        "no-length",
        "unknown field: max_tokens, max_completion_tokens",
        lambda body: "max_tokens" in body or "max_completion_tokens" in body,
    ),
    refuses(
        "at-most",
        "max_tokens is too large: 1024. This model supports at most 16 completion tokens.",
        longer_than(16),
    ),
    refuses(
        "small-window",
        "This model's maximum context length is 512 tokens. However, you requested 1048 tokens (24 "
        "in the messages, 1024 in the completion).",
        longer_than(488),
    ),
    refuses(
        "full-window",
        "This model's maximum context length is 512 tokens. However, you requested 1548 tokens.",
        lambda _: True,
        error="longer than the model can read",
    ),
    refuses(
        "range",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 16]",
        longer_than(16),
    ),
    refuses(
        "maximum",
        "max_tokens: 1024 > 16, which is the maximum allowed number of output tokens for c",
        longer_than(16),
    ),
    refuses("less-or-equal", "`max_tokens` must be less than or equal to `16`", longer_than(16)),
    refuses(
        "default-temperature",
        "Unsupported value: 'temperature' does not support 0.0. Only the default (1) value is.",
        has("temperature"),
    ),
    refuses("no-temperature", "Unsupported parameter: 'temperature'", has("temperature")),
    refuses(
        "positive-temperature",
        "Input validation error: `temperature` must be strictly positive",
        lambda body: not body["temperature"],
        status=422,
    ),
    refuses("no-seed", "Unsupported parameter: 'seed'", has("seed"), asks={"seed": 3}),
    refuses(
        "extra-seed",
        "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not'}]",
        has("seed"),
        status=422,
        asks={"seed": 3},
    ),
    refuses(
        "no-stop", "'stop' is not supported with this model.", has("stop"), asks={"stop": ("x",)}
    ),
    refuses(
        "tool-flag",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        has("tools"),
        **TOOL_IN_WORDS,
    ),
    refuses("no-tools", "library/gemma does not support tools", has("tools"), **TOOL_IN_WORDS),
    refuses(
        "no-tool-endpoint",
        "No endpoints found that support tool use.",
        has("tools"),
        status=404,
        **TOOL_IN_WORDS,
    ),
    refuses(
        "no-logprobs",
        "logprobs are not supported",
        has("logprobs"),
        asks={"top_logprobs": 1},
        error="no logprobs",
    ),
    refuses("no-stream-usage", "Unknown parameter: stream_options", has("stream_options")),
    refuses("no-stream", "Streaming is not supported", lambda body: bool(body.get("stream"))),
    refuses(
        "only-stream",
        "This model only support stream mode, please enable the stream parameter",
        lambda body: not body.get("stream"),
    ),
    Misbehaviour(
        "refuses-all",
        (
            Refusal(has("temperature"), "'temperature' does not support 0.0"),
            Refusal(has("max_tokens"), "'max_tokens': use 'max_completion_tokens'"),
            Refusal(has("seed"), "unknown field 'seed'", 422),
            FORMAT_REFUSAL,
            Refusal(has_role("system"), "System role not supported", 500),
        ),
        message=JSON["message"],
        expects=JSON["expects"],
        asks={"schema": VERDICT, "seed": 3},
    ),
]
THOUGHT = "It is Paris."
REASONERS = [
    says("think", f"<think>{THOUGHT}</think>\n\nParis"),
    says("think-no-open", f"{THOUGHT}\n</think>\n\nParis"),
    says("thinking", f"<thinking>\n{THOUGHT}\n</thinking>\nParis"),
    says("thought", f"<thought>{THOUGHT}</thought>Paris"),
    says("think-brackets", f"[THINK]{THOUGHT}[/THINK]Paris"),
    says("seed-think", f"<seed:think>{THOUGHT}</seed:think>Paris"),
    says("kimi", f"◁think▷{THOUGHT}◁/think▷Paris"),
    says("command", f"<|START_THINKING|>{THOUGHT}<|END_THINKING|>Paris"),
    says(
        "harmony",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final"
        "<|message|>Paris",
    ),
    says("bare-harmony", f"analysis{THOUGHT}assistantfinalParis"),
    Misbehaviour("reasoning-content", message={"content": TEXT, "reasoning_content": THOUGHT}),
    Misbehaviour("reasoning-field", message={"content": TEXT, "reasoning": THOUGHT}),
    says(
        "thinking-parts",
        [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": TEXT}],
        litellm_differs=True,
    ),
]
REASONING = [replace(model, expects={"text": TEXT, "reasoning": THOUGHT}) for model in REASONERS]
STATES = [
    unusable("content-filter", None, "refused", finish="content_filter"),
    unusable("filtered-half", "Par", "refused", finish="content_filter"),
    Misbehaviour(
        "refusal",
        message={"content": None, "refusal": "I cannot."},
        state="refused",
        sends=1,
        litellm_differs=True,
    ),
    Misbehaviour(
        "only-reasoning",
        message={"content": None, "reasoning_content": THOUGHT},
        finish="length",
        state="truncated",
        sends=1,
    ),
    Misbehaviour(
        "only-reasoning-stop",
        message={"content": None, "reasoning_content": THOUGHT},
        state="empty",
        sends=1,
    ),
    unusable("truncated-text", "The capital of", "truncated", finish="length"),
    unusable("truncated-think", "<think>The capital of", "truncated", finish="length"),
    unusable("blank", "  \n", "empty"),
    unusable(
        "truncated-json",
        '{"reasoning": "it',
        "truncated",
        finish="length",
        asks={"schema": VERDICT},
    ),
    unusable(
        "refusal-words", "I'm sorry, but I can't judge that.", "refused", asks={"schema": VERDICT}
    ),
    unusable("nan", '{"quality": NaN}', "unreadable", asks={"schema": QUALITY}, sends=3),
    unusable("overflow", '{"quality": 9e999}', "unreadable", asks={"schema": QUALITY}, sends=3),
    unusable("out-of-range", "7", "unreadable", asks={"schema": QUALITY}, sends=3),
    unusable("prose", "It depends on the city.", "unreadable", asks={"schema": VERDICT}, sends=3),
]
DRAFT = '{"reasoning": "draft", "right": "fail"}'
VALUES = [
    judges(
        "draft-final", f"First: {DRAFT}\nThen: {json.dumps(PASS)}", PASS, asks={"schema": VERDICT}
    ),
    judges("braces-before", f"{{city}} [Note] {json.dumps(PASS)}", PASS, asks={"schema": VERDICT}),
    judges("fence", f"```json\n{json.dumps(PASS)}\n```", PASS, asks={"schema": VERDICT}),
    judges(
        "schema-echo",
        f"{json.dumps(VERDICT)}\n{json.dumps(PASS)}",
        PASS,
        asks={"schema": VERDICT},
    ),
    judges("string-number", '"4"', {"quality": 4}, asks={"schema": QUALITY}),
    judges(
        "abstains",
        '{"quality": null}',
        {"quality": None},
        asks={"schema": {"type": "object", "properties": {"quality": {"type": ["null"]}}}},
    ),
    judges("label-number", "Quality: 4", {"quality": 4}, asks={"schema": QUALITY}),
    judges("key-case", '{"Quality": 4}', {"quality": 4}, asks={"schema": QUALITY}),
    judges("one-element", '[{"quality": 4}]', {"quality": 4}, asks={"schema": QUALITY}),
    judges("float", '{"quality": 4.0}', {"quality": 4}, asks={"schema": QUALITY}),
    judges("upper", "PASS", {"reasoning": "PASS", "right": "pass"}, asks={"schema": VERDICT}),
    judges(
        "think-json",
        f"<think>{DRAFT}</think>{json.dumps(PASS)}",
        PASS,
        asks={"schema": VERDICT},
    ),
    judges(
        "surrogate",
        '{"name": "a\\ud800"}',
        {"name": "a\ufffd"},
        asks={"schema": {"type": "object"}},
    ),
]
ENDS = [
    says("no-finish", TEXT, finish=None, ending="done-only", litellm_differs=True),
    says("no-done", TEXT, ending="no-done"),
    says("end-token", f"{TEXT}<|im_end|>", expects={"text": TEXT}),
    says("end-tokens", f"{TEXT}</s> <|endoftext|>\n", expects={"text": TEXT}),
    says("early-end", TEXT, ending="early", error="broke off in the middle"),
    says("torn-end", TEXT, ending="torn", error="broke off in the middle", litellm_differs=True),
    says(
        "finish-error", TEXT, finish="error", error="broke off in the middle", litellm_differs=True
    ),
    says(
        "model-length",
        "The capital",
        finish="model_length",
        state="truncated",
        litellm_differs=True,
    ),
]
MONEY = [
    says(
        "hidden-reasoning",
        TEXT,
        usage={
            "prompt_tokens": 20,
            "completion_tokens": 5,
            "total_tokens": 1025,
            "completion_tokens_details": {"reasoning_tokens": 1000},
        },
        expects={"text": TEXT, "output_tokens": 1005, "hidden_tokens": 1000},
    ),
    says(
        "hidden-total",
        TEXT,
        usage={"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 1025},
        expects={"text": TEXT, "output_tokens": 1005, "hidden_tokens": 1000},
    ),
    says(
        "cache-beside-input",
        TEXT,
        usage={
            "prompt_tokens": 20,
            "completion_tokens": 5,
            "total_tokens": 2025,
            "cache_read_input_tokens": 1500,
            "cache_creation_input_tokens": 500,
        },
        expects={"text": TEXT, "output_tokens": 5, "hidden_tokens": 0},
        litellm_differs=True,
    ),
    says(
        "usage-by-other-names",
        TEXT,
        usage={"input_tokens": 20, "output_tokens": 5, "total_tokens": 1025},
        expects={"text": TEXT, "output_tokens": 1005, "hidden_tokens": 1000},
        litellm_differs=True,
    ),
    refuses(
        "no-quota",
        "You exceeded your current quota, please check your plan and billing details.",
        lambda _: True,
        status=429,
        error="no credit left",
        sends=1,
    ),
    refuses(
        "no-balance",
        "Insufficient Balance",
        lambda _: True,
        status=402,
        error="no credit left",
        sends=1,
    ),
    refuses(
        "low-credit",
        "Your credit balance is too low to access the API.",
        lambda _: True,
        error="no credit left",
        sends=1,
    ),
    refuses(
        "quota-code",
        "Request refused.",
        lambda _: True,
        status=429,
        code="insufficient_quota",
        error="no credit left",
        sends=1,
        litellm_differs=True,
    ),
    refuses(
        "quota-in-answer",
        "Request refused.",
        lambda _: True,
        status=200,
        code="insufficient_quota",
        error="no credit left",
        sends=1,
        litellm_differs=True,
    ),
    refuses(
        "credits-used",
        "Your team has either used all available credits or reached its monthly spending limit.",
        lambda _: True,
        status=429,
        error="no credit left",
        sends=1,
    ),
    refuses(
        "monthly-credits",
        "You have exceeded your monthly included credits for Inference Providers.",
        lambda _: True,
        status=429,
        error="no credit left",
        sends=1,
    ),
    refuses(
        "debt",
        "\u60a8\u7684\u8d26\u6237\u5df2\u6b20\u8d39",
        lambda _: True,
        status=429,
        error="no credit left",
        sends=1,
        litellm_differs=True,
    ),
    refuses(
        "key-limit",
        "Key limit exceeded (total limit).",
        lambda _: True,
        status=403,
        error="no credit left",
        sends=1,
        litellm_differs=True,
    ),
    refuses(
        "budget-of-a-gateway",
        "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0",
        lambda _: True,
        error="no credit left",
        sends=1,
    ),
    refuses(
        "rate-quota",
        "You exceeded your current quota of 10 requests per minute, billing plan free. Retry in 1s",
        lambda _: True,
        status=429,
        error="answers no more requests for now",
        sends=2,
    ),
]
MODELS = [*DIALECTS, *REASONING, *STATES, *VALUES, *ENDS, *MONEY]
