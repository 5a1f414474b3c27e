"""Requests to models and their answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

from pydantic import JsonValue

from kiln_mcp.llm.answer_states import AnswerState, FinishReason, answer_state

# Any: what pydantic gives and what callers write as literals; jsonschema checks it.
JsonSchema = Mapping[str, Any]
Role = Literal["system", "user", "assistant", "tool", "raw"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that a model asks for.

    Attributes:
        id: The call's id, repeated in the tool's answer.
        name: The tool's name.
        arguments: The arguments as JSON text, as the model wrote them.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call; `parameters` is its arguments' JSON schema."""

    name: str
    description: str
    parameters: JsonSchema


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: Who speaks. `raw` is text for the model to go on with, without a chat template; it
            must be the only message.
        content: The text.
        tool_calls: The calls that an assistant's message asked for.
        tool_call_id: On a tool's message, the id of the call that it answers.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request to a model.

    Attributes:
        model: The model's name: `embedded`, `host`, `<server>/<model>` of a configured
            server, or a hosted model by its litellm name.
        messages: The conversation so far, or one `raw` message to be continued.
        schema: The JSON schema that the answer must fit; None for free text.
        choices: The answer must be one of these texts; empty for free text.
        temperature: 0 for the most probable answer.
        max_tokens: The longest answer, in tokens.
        seed: Makes sampling repeatable where the model offers it.
        stop: Texts at which the answer ends.
        top_logprobs: How many alternatives to return for each token; 0 for no logprobs.
        tools: The tools that the model may call.
        sample: Which of several independent answers to the same request this is.
        comes_again: Whether later requests begin like this one, so that a provider is asked to
            cache it. It changes no answer.
    """

    model: str
    messages: tuple[Message, ...]
    schema: JsonSchema | None = None
    choices: tuple[str, ...] = ()
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0
    tools: tuple[Tool, ...] = ()
    sample: int = 0
    comes_again: bool = False

    def with_messages(self, *messages: Message) -> "ModelRequest":
        """Return this request with more messages at its end."""
        return replace(self, messages=(*self.messages, *messages))

    @property
    def raw_text(self) -> str | None:
        """The text to go on with, where this is a raw request; None for a conversation."""
        first = self.messages[0]
        return first.content if first.role == "raw" else None

    @property
    def sampling_seed(self) -> int:
        """The seed to send to the model: differs from sample to sample."""
        return (self.seed or 0) + self.sample


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens and the cost of an answer.

    Attributes:
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        cached_tokens: Input tokens that came from the server's cache.
        cost_usd: US dollars; None if the model's price is not known.
        calls: How many times the model was asked.
        hidden_tokens: Those of the output that the server counts only in its total or as reasoning.
        written_tokens: Input tokens that the server wrote to its cache.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = 0.0
    calls: int = 1
    hidden_tokens: int = 0
    written_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        is_priced = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost_usd=(self.cost_usd or 0.0) + (other.cost_usd or 0.0) if is_priced else None,
            calls=self.calls + other.calls,
            hidden_tokens=self.hidden_tokens + other.hidden_tokens,
            written_tokens=self.written_tokens + other.written_tokens,
        )


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could have come, and the natural logarithm of its probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of the answer, its logprob, and the most probable alternatives at its place."""

    token: str
    logprob: float
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A model's answer.

    Attributes:
        text: The answer's text, without reasoning.
        value: The answer as JSON, if the request had a schema.
        usage: What it took, corrections included.
        finish: Why the answer ended.
        logprobs: One entry for each token, if requested and offered.
        tool_calls: The tool calls that the model asks for.
        reasoning: The model's reasoning text, if there is any.
        latency_s: Seconds from the request to the whole answer.
        is_cached: Whether the answer came from the response cache, and cost nothing this time.
        client: What the client calls itself that answered as the model `host`.
        trace: The messages behind the answer, where a program reports them.
    """

    text: str
    value: JsonValue = None
    usage: Usage = Usage()
    finish: FinishReason = "stop"
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    latency_s: float = 0.0
    is_cached: bool = False
    client: str = ""
    trace: tuple[Mapping[str, JsonValue], ...] = ()

    @property
    def state(self) -> AnswerState:
        """What the answer is good for, apart from whether it fits a schema."""
        has_content = bool(self.text.strip() or self.tool_calls)
        return answer_state(self.finish, has_content=has_content)


class Model(Protocol):
    """Anything that answers requests. Implementations raise only `llm.errors.ModelError`s."""

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request, without response cache, limits or corrections."""
        ...


EMBEDDED: Final = "embedded"
