"""The dialect of a model's server: which parts of the OpenAI chat format it takes, and how.

docs/dialects.md lists what each known kind of server needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Literal, get_args, get_type_hints

from kiln_mcp.llm.messages import Message, ModelRequest

JsonMode = Literal["schema", "object", "words"]
"""`object` asks for any object, with the schema in words; `words` sets no mode at all."""
YesOrNo = Literal["yes", "no"]
SMALLEST_TEMPERATURE: Final = 0.01
"""For servers that take no temperature of 0, which are meant to be as certain as they can."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a model is asked.

    Attributes:
        json_mode: How JSON is asked for.
        system_role: Whether it takes system messages; else the user's message begins with them.
        turns: Whether one message may follow another of the same role.
        length_field: The name of the longest answer; `none` to leave it out.
        most_tokens: The largest value of that field; empty for no limit.
        temperature: `positive` if it must not be 0, `default` if it must be left out.
        seed: Whether it takes one.
        stop: Whether it takes stop texts.
        logprobs: Whether it gives logprobs.
        tools: Whether it takes tools, or is told of them in words.
        streaming: Whether it streams; `only` if it gives no whole answer.
        streaming_usage: Whether it takes the wish for a usage at the end of a stream.
    """

    json_mode: JsonMode = "schema"
    system_role: YesOrNo = "yes"
    turns: Literal["any", "alternate"] = "any"
    length_field: Literal["max_tokens", "max_completion_tokens", "none"] = "max_tokens"
    most_tokens: str = ""
    temperature: Literal["any", "positive", "default"] = "any"
    seed: YesOrNo = "yes"
    stop: YesOrNo = "yes"
    logprobs: YesOrNo = "yes"
    tools: Literal["native", "words"] = "native"
    streaming: Literal["yes", "no", "only"] = "yes"
    streaming_usage: YesOrNo = "yes"

    def value(self, feature: str) -> str:
        """Return the value of a feature."""
        return str(getattr(self, feature))

    def adopt(self, facts: Mapping[str, str]) -> "Dialect":
        """Return the dialect with other values of some features; unknown ones are passed over."""
        if not facts:
            return self
        hints = get_type_hints(Dialect)
        valid = {
            name: value
            for name, value in facts.items()
            if name in _FEATURES and (value in get_args(hints[name]) or _is_count(name, value))
        }
        return replace(self, **valid)

    def json_mode_of(self, request: ModelRequest) -> JsonMode | None:
        """Return how a request asks for JSON; None if it asks for none."""
        if request.schema is None:
            return None
        is_object = request.schema.get("type") == "object"
        return "words" if self.json_mode == "object" and not is_object else self.json_mode

    def longest(self, request: ModelRequest) -> int:
        """Return the longest answer to ask for, in tokens."""
        return min(request.max_tokens, int(self.most_tokens or request.max_tokens))

    def temperature_of(self, request: ModelRequest) -> float | None:
        """Return the temperature to ask for; None to leave it out."""
        if self.temperature == "default":
            return None
        smallest = SMALLEST_TEMPERATURE if self.temperature == "positive" else 0.0
        return max(request.temperature, smallest)

    def lay_out(self, messages: Sequence[Message], instruction: str) -> list[Message]:
        """Return the messages of a conversation as the model takes them.

        Args:
            messages: The conversation.
            instruction: What is added to the first system message, or to the last of the user if
                there is none.
        """
        is_strict = self.turns == "alternate" or self.system_role == "no"
        result = _join_first_systems(messages, everywhere=is_strict)
        if instruction:
            _add(result, instruction)
        if self.system_role == "no" and result[0].role == "system":
            system, *rest = result
            is_user = bool(rest) and rest[0].role == "user"
            first = rest.pop(0) if is_user else Message("user", "")
            result = [_join(replace(system, role="user"), first), *rest]
        return _alternating(result) if self.turns == "alternate" else result


STANDARD: Final = Dialect()
"""The chat format as OpenAI described it first."""
_FEATURES: Final = frozenset(field.name for field in fields(Dialect))


def _is_count(name: str, value: str) -> bool:
    return name == "most_tokens" and value.isdecimal() and 0 < int(value) < 10**9


def _join_first_systems(messages: Sequence[Message], *, everywhere: bool) -> list[Message]:
    """Return the messages with the first system messages, or all of them, joined at the front."""
    count = next((i for i, m in enumerate(messages) if m.role != "system"), len(messages))
    systems = list(messages[:count])
    rest = list(messages[count:])
    if everywhere:
        systems += [message for message in rest if message.role == "system"]
        rest = [message for message in rest if message.role != "system"]
    if not systems:
        return rest
    return [Message("system", "\n\n".join(message.content for message in systems)), *rest]


def _add(messages: list[Message], instruction: str) -> None:
    """Add an instruction to the first system message, or to the user's last."""
    users = [place for place, message in enumerate(messages) if message.role == "user"]
    place = 0 if messages[0].role == "system" or not users else users[-1]
    message = messages[place]
    messages[place] = replace(message, content=f"{message.content}\n\n{instruction}".strip())


def _alternating(messages: Sequence[Message]) -> list[Message]:
    result: list[Message] = []
    for message in messages:
        last = result[-1] if result else None
        is_plain = message.role in {"user", "assistant"} and not message.tool_calls
        if last is not None and is_plain and last.role == message.role and not last.tool_calls:
            result[-1] = _join(last, message)
        else:
            result.append(message)
    return result


def _join(first: Message, second: Message) -> Message:
    return replace(first, content=f"{first.content}\n\n{second.content}".strip())
