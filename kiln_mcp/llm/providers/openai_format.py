"""The OpenAI chat format, which most servers and llama.cpp speak: requests out, answers in."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

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
from kiln_mcp.llm.providers.http_errors import refusal_in, unreadable_answer
from kiln_mcp.llm.providers.think_tags import split_reasoning
from kiln_mcp.llm.schemas import choices_instruction, instruction_for
from storage.text.characters import repair_surrogates

CONTINUE: Final = (
    "Go on with the text exactly where it ends. Write only what comes next, without repeating it."
)
_FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "refused",
}
MOST_TOKENS: Final = 10**9
"""No call can take more."""


def chat_body(
    request: ModelRequest, model: str, *, schema_in_words: bool, choices_in_words: bool = True
) -> dict[str, Any]:
    """Return a request as the JSON body of `/chat/completions`.

    Args:
        request: The request.
        model: The model's name as its server knows it.
        schema_in_words: Whether the messages ask for the schema, for models without a
            schema mode.
        choices_in_words: Whether the messages ask for the choices.
    """
    messages = [_message(message) for message in _conversation(request)]
    if schema_in_words and request.schema is not None:
        messages.append({"role": "system", "content": instruction_for(request.schema)})
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
    }
    if request.choices and choices_in_words:
        messages.append({"role": "system", "content": choices_instruction(request.choices)})
    if request.seed is not None or request.sample:
        body["seed"] = request.sampling_seed
    if request.stop:
        body["stop"] = list(request.stop)
    if request.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.schema is not None and not schema_in_words:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema, "strict": False},
        }
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
        text, reasoning = split_reasoning(
            repair_surrogates(text_in(message.get("content"))),
            repair_surrogates(
                text_in(message.get("reasoning_content") or message.get("reasoning"))
            ),
        )
        return ModelAnswer(
            text=text,
            usage=_usage(reply),
            finish=_FINISH.get(str(choice.get("finish_reason")), "stop"),
            logprobs=_chat_logprobs(choice),
            tool_calls=tuple(_tool_call(call) for call in message.get("tool_calls") or ()),
            reasoning=reasoning,
            latency_s=latency_s,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        detail = mask(f"no chat completion: {json.dumps(reply)}")
        raise unreadable_answer(model, detail) from error


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
    """Return an answer's usage; an empty one if the numbers cannot be true."""
    usage = _object(reply.get("usage"))
    input_tokens = _tokens(usage.get("prompt_tokens"))
    output_tokens = _tokens(usage.get("completion_tokens"))
    if input_tokens is None or output_tokens is None:
        return Usage(cost_usd=None)
    cached = _tokens(_object(usage.get("prompt_tokens_details")).get("cached_tokens")) or 0
    return Usage(input_tokens, output_tokens, min(cached, input_tokens), cost_usd=None)


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
            logprob=entry["logprob"],
            alternatives=tuple(
                Alternative(repair_surrogates(other["token"]), other["logprob"])
                for other in entry.get("top_logprobs") or ()
            ),
        )
        for entry in cast("list[Mapping[str, Any]]", logprobs.get("content") or [])
    )
