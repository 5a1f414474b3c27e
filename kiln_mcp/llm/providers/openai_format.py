"""The OpenAI chat format, which most servers and llama.cpp speak: requests out, answers in."""

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, cast

from kiln_mcp.llm.answer_schemas import choices_instruction, instruction_for
from kiln_mcp.llm.errors import ServerFailure
from kiln_mcp.llm.messages import (
    Alternative,
    FinishReason,
    Message,
    ModelAnswer,
    ModelRequest,
    TokenLogprob,
    Tool,
    ToolCall,
    Usage,
)
from kiln_mcp.llm.providers.dialect import STANDARD, Dialect
from kiln_mcp.llm.providers.http_errors import refusal_in, unreadable_answer
from kiln_mcp.llm.providers.reasoning_marks import split_reasoning
from storage.text.characters import repair_surrogates

CONTINUE: Final = (
    "Go on with the text exactly where it ends. Write only what comes next, without repeating it."
)
_FINISH: Final[Mapping[str, FinishReason]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refused",
    "content_filtered": "refused",
    "refusal": "refused",
    "safety": "refused",
    "recitation": "refused",
    "blocklist": "refused",
    "prohibited_content": "refused",
    "guardrail_intervened": "refused",
    "sensitive": "refused",
}
_FAILURES: Final = frozenset({"error", "abort", "network_error", "insufficient_system_resource"})
"""Reasons that say the server failed in the middle of the answer."""
REASONING_FIELDS: Final = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "thinking",
    "thought",
)
"""Fields of a message that hold reasoning: DeepSeek and vLLM, OpenRouter and Groq, LM Studio,
Ollama, gateways of Gemini."""
_REASONING_PARTS: Final = frozenset({"thinking", "reasoning", "reasoning_text", "thought"})
_MISSING_LOGPROB: Final = -9999.0
"""What vLLM sends for a logarithm of zero, which JSON cannot hold."""
CUT_OFF: Final = "its answer broke off in the middle."
MOST_TOKENS: Final = 10**9
"""No call can take more."""


def chat_body(
    request: ModelRequest,
    model: str,
    dialect: Dialect = STANDARD,
    *,
    choices_in_words: bool = True,
) -> dict[str, Any]:
    """Return a request as the JSON body of `/chat/completions`.

    Args:
        request: The request.
        model: The model's name as its server knows it.
        dialect: How the model is asked.
        choices_in_words: Whether the messages ask for the choices.
    """
    mode = dialect.json_mode_of(request)
    instructions = [
        instruction_for(request.schema) if request.schema is not None and mode != "schema" else "",
        choices_instruction(request.choices) if request.choices and choices_in_words else "",
    ]
    messages = dialect.lay_out(_conversation(request), "\n\n".join(filter(None, instructions)))
    body: dict[str, Any] = {"model": model, "messages": [_message(message) for message in messages]}
    temperature = dialect.temperature_of(request)
    if temperature is not None:
        body["temperature"] = temperature
    if dialect.length_field != "none":
        body[dialect.length_field] = dialect.longest(request)
    if dialect.seed == "yes" and (request.seed is not None or request.sample):
        body["seed"] = request.sampling_seed
    if dialect.stop == "yes" and request.stop:
        body["stop"] = list(request.stop)
    if request.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if mode == "schema":
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema, "strict": False},
        }
    if mode == "object":
        body["response_format"] = {"type": "json_object"}
    return body


def _conversation(request: ModelRequest) -> tuple[Message, ...]:
    text = request.raw_text
    if text is None:
        return request.messages
    return Message("system", CONTINUE), Message("user", text)


def _message(message: Message) -> dict[str, Any]:
    result: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_call_id is not None:
        result["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        result["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    return result


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def read_chat_answer(
    model: str, reply: Any, *, latency_s: float, mask: Callable[[str], str] = str
) -> ModelAnswer:
    """Return the answer in a reply of `/chat/completions`; its cost is not known yet.

    Args:
        model: The model that answers.
        reply: The reply's JSON.
        latency_s: How long it took.
        mask: Masks secrets in quotations of the reply.

    Raises:
        ModelError: It holds an error, or has another shape.
    """
    failure = refusal_in(model, reply, mask)
    if failure is not None:
        raise failure
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        content, part_reasoning = text_and_reasoning(message.get("content"))
        text, reasoning = split_reasoning(
            repair_surrogates(content),
            repair_surrogates(reasoning_in(message) or part_reasoning),
        )
        refusal_text = _refusal_in(message)
        finish = _finish(model, choice.get("finish_reason"))
        answer = ModelAnswer(
            text=text.removeprefix("\ufeff") or repair_surrogates(refusal_text),
            usage=_usage(reply),
            finish="refused" if refusal_text else finish,
            logprobs=_chat_logprobs(choice),
            tool_calls=tuple(_tool_call(call) for call in message.get("tool_calls") or ()),
            reasoning=reasoning,
            latency_s=latency_s,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        detail = mask(f"no chat completion: {json.dumps(reply)}")
        raise unreadable_answer(model, detail) from error
    return answer


def _refusal_in(message: Mapping[str, Any]) -> str:
    """Return a refusal in a field of its own; litellm moves unknown fields into another."""
    extra_fields = _object(message.get("provider_specific_fields"))
    return str(message.get("refusal") or extra_fields.get("refusal") or "").strip()


def _finish(model: str, reason: object) -> FinishReason:
    """Return why an answer ended.

    Raises:
        ServerFailure: The server failed in the middle.
    """
    word = str(reason).lower()
    if word in _FAILURES:
        raise ServerFailure(model, CUT_OFF, is_unanswered=True)
    return _FINISH.get(word, "stop")


def reasoning_in(message: Mapping[str, Any]) -> str:
    """Return the reasoning that a message, or a part of a stream, holds in a field of its own."""
    for name in REASONING_FIELDS:
        if text := _any_text(message.get(name)):
            return text
    return _any_text(message.get("reasoning_details"))


def text_and_reasoning(content: Any) -> tuple[str, str]:
    """Return the text of a message's content and the reasoning among its parts.

    Raises:
        TypeError: It is neither text nor a list of parts.
    """
    if not isinstance(content, list):
        return text_in(content), ""
    parts = cast("list[Any]", content)
    thoughts = [part for part in parts if _is_reasoning(part)]
    text = "".join(_text_of_part(part) for part in parts if not _is_reasoning(part))
    return text, "".join(map(_any_text, thoughts))


def _is_reasoning(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    fields = cast("Mapping[str, Any]", part)
    return fields.get("type") in _REASONING_PARTS or fields.get("thought") is True


def _any_text(value: Any) -> str:
    """Return the text of reasoning in any of its shapes; empty for what has none."""
    match value:
        case str():
            return value
        case list():
            return "".join(map(_any_text, cast("list[Any]", value)))
        case Mapping():
            fields = cast("Mapping[str, Any]", value)
            names = ("text", "thinking", "summary", "content")
            return next(filter(None, (_any_text(fields.get(name)) for name in names)), "")
        case _:
            return ""


def text_in(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts.

    Raises:
        TypeError: It is neither.
    """
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            return "".join(map(_text_of_part, cast("list[Any]", content)))
        case _:
            raise TypeError("no content")


def _text_of_part(part: Any) -> str:
    return part if isinstance(part, str) else text_in(part.get("text"))


def arguments_in(function: Mapping[str, Any]) -> str:
    """Return the arguments of a tool call as JSON text, even if a server sends the object."""
    arguments = function.get("arguments")
    return arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""


def _usage(reply: Mapping[str, Any]) -> Usage:
    """Return an answer's usage; an empty one if the numbers cannot be true.

    Some servers count reasoning in the total alone, or name more of it than the whole output. Some
    count what a prompt cache took beside the input.
    """
    usage = _object(reply.get("usage"))
    total = _tokens(usage.get("total_tokens")) or 0
    input_tokens = _tokens(usage.get("prompt_tokens", usage.get("input_tokens")))
    output_tokens = _tokens(usage.get("completion_tokens", usage.get("output_tokens")))
    if input_tokens is None or output_tokens is None:
        return Usage(cost_usd=None)
    cached = _tokens(_object(usage.get("prompt_tokens_details")).get("cached_tokens")) or 0
    details = _object(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    reasoning = _tokens(details.get("reasoning_tokens")) or 0
    input_tokens, cached = _with_cache_of_prompts(
        usage, input_tokens, cached, total - output_tokens
    )
    extra_reasoning = reasoning if reasoning > output_tokens else 0
    hidden_tokens = max(total - input_tokens - output_tokens, extra_reasoning, 0)
    cached = min(cached, input_tokens)
    cache_writes = _tokens(usage.get("cache_creation_input_tokens")) or 0
    return Usage(
        input_tokens,
        output_tokens + hidden_tokens,
        cached,
        cost_usd=None,
        hidden_tokens=hidden_tokens,
        written_tokens=min(cache_writes, input_tokens - cached),
    )


def _with_cache_of_prompts(
    usage: Mapping[str, Any], input_tokens: int, cached: int, room: int
) -> tuple[int, int]:
    """Return the input, and what of it was cached, with what Anthropic's fields count beside it.

    Args:
        usage: The server's numbers.
        input_tokens: Its input.
        cached: What of the input it says was cached.
        room: The tokens of its total that are no output.
    """
    read = _tokens(usage.get("cache_read_input_tokens")) or 0
    beside = read + (_tokens(usage.get("cache_creation_input_tokens")) or 0)
    if not beside or input_tokens + beside > room:
        return input_tokens, cached
    return input_tokens + beside, max(cached, read)


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _tokens(value: Any) -> int | None:
    """Return a number of tokens; None if it cannot be one."""
    try:
        count = int(value or 0)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count <= MOST_TOKENS else None


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(
        id=repair_surrogates(str(call.get("id") or "")),
        name=repair_surrogates(str(function["name"])),
        arguments=repair_surrogates(arguments_in(function)) or "{}",
    )


def _chat_logprobs(choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    logprobs = cast("Mapping[str, Any]", choice.get("logprobs") or {})
    return tuple(
        TokenLogprob(
            token=repair_surrogates(entry["token"]),
            logprob=_logprob(entry["logprob"]),
            alternatives=tuple(
                Alternative(repair_surrogates(other["token"]), _logprob(other["logprob"]))
                for other in entry.get("top_logprobs") or ()
            ),
        )
        for entry in cast("list[Mapping[str, Any]]", logprobs.get("content") or [])
    )


def _logprob(value: Any) -> float:
    number = float(_MISSING_LOGPROB if value is None else value)
    return number if isfinite(number) else _MISSING_LOGPROB
