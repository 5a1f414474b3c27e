"""The model that holds the conversation, asked through the engine under the budget of one chat."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, Self

from agent.chat_lines import person_words
from agent.fences import CUT_MARK
from agent.guided.menus import Menus
from agent.guided.places import Places
from agent.schema_steps import SaidText, read_step, step_request
from kiln_mcp.llm import (
    EMBEDDED,
    HOST,
    AnswerRestart,
    AnswerStream,
    Budget,
    BudgetLimit,
    Engine,
    Message,
    ModelAnswer,
    ModelRequest,
    ReasoningDelta,
    ServerSettings,
    TextDelta,
    Tool,
    ToolCall,
)
from kiln_mcp.llm.abilities import Ability
from kiln_mcp.llm.errors import BudgetSpent, ContextOverflow, KeyProblem, MissingKey
from kiln_mcp.llm.prices import litellm_facts
from kiln_mcp.llm.providers.addresses import has_login, is_address
from storage.errors import Refusal

MAX_TOKENS: Final = 8192
"""The longest answer. Every hosted model in use writes as much; reasoning counts."""
API_BASE: Final = "api-base"
"""The engine's name for the server of --api-base."""
KEY_VARIABLE: Final = "KILN_CHAT_API_KEY"
TRUNCATION_NOTE: Final = "\n[The answer was cut off here.]"
LONGEST_ANSWER: Final = 100_000
"""Characters of an answer; a server that sends more does not keep to `MAX_TOKENS`."""
_SHOWN_ARGUMENTS: Final = 400
_LONG_WORDS: Final = 2_000
"""Characters of a message to which its being too long may be due."""


class TooLong(Refusal):
    """The conversation is longer than its model can read."""

    def __init__(self, name: str, messages: Sequence[Message]) -> None:
        last = messages[-1]
        words = len(person_words(last.content)) if last.role == "user" else 0
        if words > _LONG_WORDS:
            sentence = (
                "Your message of {words} characters is too long for '{name}', with the tools that "
                "it is shown. Send a part of it, name a file instead, or change to a model that "
                "reads more with /model NAME."
            )
        elif all(message.role in {"system", "user"} for message in messages):
            sentence = (
                "The instructions and tools of this chat are too long for '{name}'. Change to a "
                "model that reads more with /model NAME, or let its server read more: 16,000 "
                "tokens are enough to begin."
            )
        else:
            sentence = (
                "This conversation is too long for '{name}', also when it is condensed. /new "
                "begins another one, and the project stays as it is; /model NAME changes to a "
                "model that reads more."
            )
        super().__init__(sentence, name=name, words=f"{words:,}")


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """The whole answer as a message.

    Attributes:
        message: The message.
        context_tokens: The tokens that its request and itself took.
        cached_tokens: Those of the request that came from the provider's cache.
    """

    message: Message
    context_tokens: int
    cached_tokens: int = 0


Answer = AsyncGenerator[TextDelta | ReasoningDelta | WholeAnswer]
"""Pieces of text as they come, then the whole answer, last."""


def api_base_server(address: str, environment: Mapping[str, str]) -> ServerSettings:
    """Return the settings of the OpenAI-compatible server at an address.

    Raises:
        Refusal: It is not the address of a web server. The sentence does not show it, because it
            may hold a password.
    """
    if not is_address(address):
        raise Refusal(
            "The value of --api-base (or KILN_CHAT_API_BASE) is not the address of a web server. "
            "Give one such as http://localhost:11434/v1. In a name or password, write @, / and : "
            "as %40, %2F and %3A."
        )
    needs_key = bool(environment.get(KEY_VARIABLE)) and not has_login(address)
    return ServerSettings(API_BASE, address, KEY_VARIABLE if needs_key else None)


def check_talker(engine: Engine, name: str) -> None:
    """Refuse a name that no model has, and the models that cannot hold a conversation.

    Raises:
        Refusal: No model is named, or it cannot hold a conversation.
        UnknownModel: No model can have this name.
    """
    if not name:
        raise _missing_model()
    if name == HOST:
        raise Refusal(
            "The model '{name}' cannot hold a conversation: it answers work orders. Name "
            "another one with /model provider/name, for example /model "
            "anthropic/claude-sonnet-4-5.",
            name=name,
        )
    engine.check_name(name)


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A model of the engine, asked on behalf of one chat.

    Attributes:
        engine: How it is asked.
        name: The engine's name for it; empty if the person named none.
        budget: What the chat has spent, and the most that it may spend.
        places: Knows the names that the menus of the embedded model offer.
    """

    engine: Engine
    name: str
    budget: Budget
    places: Places

    @classmethod
    async def open(
        cls, engine: Engine, name: str, chat: str, limit: BudgetLimit, places: Places
    ) -> Self:
        """Return a model for a chat; what the chat spent in earlier sessions counts."""
        return cls(engine, name, await engine.budget(f"chats/{chat}", limit), places)

    async def for_chat(self, chat: str) -> "ChatModel":
        """Return the same model for another chat, with the same limit."""
        budget = await self.engine.budget(f"chats/{chat}", self.budget.limit)
        return replace(self, budget=budget)

    @property
    def reads_line_by_line(self) -> bool:
        """Whether each line of the person is an answer of its own: those to menus are."""
        return self.name == EMBEDDED

    @property
    def context_limit(self) -> int | None:
        """The most tokens that it reads; None if that is not known."""
        facts = None if self.name.startswith(f"{API_BASE}/") else litellm_facts(self.name)
        return None if facts is None else facts.context_tokens

    def with_name(self, name: str) -> "ChatModel":
        """Return another model for the same chat.

        Raises:
            Refusal: It cannot hold a conversation.
            UnknownModel: No model can have this name.
        """
        model = replace(self, name=name)
        model.check()
        return model

    def check(self) -> None:
        """Refuse a name that no model has, and the models that cannot hold a conversation.

        Raises:
            Refusal: No model is named, or it cannot hold a conversation.
            UnknownModel: No model can have this name.
        """
        check_talker(self.engine, self.name)

    async def answer(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Answer:
        """Stream the model's answer: pieces of text, then the whole answer.

        A repeated question is asked again: a conversation wants a new answer. The embedded model
        is too small for one, so it guides through menus.

        Raises:
            TooLong: The conversation is longer than it can read.
            Refusal: It cannot hold this conversation, or its answer is empty.
            WorkbenchError: Any other failure of the engine.
        """
        self.check()
        if self.name == EMBEDDED:
            menus = Menus(self.engine.within(self.budget), self.places)
            message = await menus.answer(messages)
            yield TextDelta(message.content)
            yield WholeAnswer(message, 0)
            return
        request = ModelRequest(
            self.name,
            tuple(messages),
            max_tokens=MAX_TOKENS,
            tools=tuple(tools),
            comes_again=True,
        )
        parts_of = self._steps if self._needs_steps(request) else self._stream
        text = ""
        async with aclosing(parts_of(request)) as parts:
            async for part in parts:
                match part:
                    case TextDelta(piece) if len(text) + len(piece) > LONGEST_ANSWER:
                        end = piece[: LONGEST_ANSWER - len(text)] + TRUNCATION_NOTE
                        yield TextDelta(end)
                        yield WholeAnswer(Message("assistant", text + end), 0)
                        return
                    case TextDelta(piece):
                        text += piece
                        yield part
                    case ReasoningDelta():
                        yield part
                    case AnswerRestart(problem):
                        yield TextDelta(f"\n[{problem}.]\n")
                    case ModelAnswer(usage=usage):
                        message = self._message(part)
                        if part.finish == "length":
                            yield TextDelta(TRUNCATION_NOTE)
                        context_tokens = usage.input_tokens + usage.output_tokens
                        yield WholeAnswer(message, context_tokens, usage.cached_tokens)
                    case _:
                        pass

    def _needs_steps(self, request: ModelRequest) -> bool:
        """Return whether the model is known to take no tools, and so works in steps."""
        ability = self.engine.abilities(self.name).tools
        return bool(request.tools) and (ability.is_missing or ability is Ability.IN_WORDS)

    async def _steps(self, request: ModelRequest) -> AnswerStream:
        """Ask for a step by its schema; what it says is shown while it is written."""
        text_of_step = SaidText()
        async with aclosing(self._stream(step_request(request))) as parts:
            async for part in parts:
                match part:
                    case TextDelta(text):
                        if new_text := text_of_step.take(text):
                            yield TextDelta(new_text)
                    case AnswerRestart():
                        text_of_step = SaidText()
                        yield part
                    case ModelAnswer():
                        yield read_step(part, len(request.messages))
                    case _:
                        yield part

    async def _stream(self, request: ModelRequest) -> AnswerStream:
        engine = self.engine.within(self.budget)
        try:
            async with aclosing(engine.stream(request, asker="conversation", fresh=True)) as parts:
                async for part in parts:
                    yield part
        except ContextOverflow as error:
            raise TooLong(self.name, request.messages) from error
        except BudgetSpent as error:
            raise Refusal(
                "The budget of this chat does not allow another call to '{name}'. /cost shows "
                "what is spent. Start kiln-chat with a higher --budget and --resume to continue. "
                "With -p, give a higher --limit.",
                name=self.name,
            ) from error
        except MissingKey as error:
            raise Refusal(
                "The model '{name}' needs {missing}, which is not set. Set it in the environment "
                "and start kiln-chat again: --resume goes on with this chat. Or keep it in the "
                "system's keyring (keyring set kiln-mcp NAME). Or change the model with /model "
                "NAME; /model embedded needs no key.",
                name=self.name,
                missing=error.missing,
            ) from error
        except KeyProblem as error:
            if not self.name.startswith(f"{API_BASE}/"):
                raise
            raise Refusal(
                "The server of '{name}' needs a key, or refuses the one that it was sent. Set "
                "KILN_CHAT_API_KEY in the environment and start kiln-chat again.",
                name=self.name,
            ) from error

    def _message(self, answer: ModelAnswer) -> Message:
        """Return the answer as a message of the conversation.

        Raises:
            Refusal: It holds neither text nor tool calls.
        """
        calls = _with_distinct_ids([_without_end(call) for call in answer.tool_calls])
        if not (answer.text or calls):
            raise Refusal(
                "The model '{name}' gave an empty answer ({finish}). Say it again, or change the "
                "model with /model NAME.",
                name=self.name,
                finish="refused" if answer.finish == "refused" else "no text and no tool call",
            )
        note = TRUNCATION_NOTE if answer.finish == "length" else ""
        return Message("assistant", answer.text + note, calls)


def _without_end(call: ToolCall) -> ToolCall:
    """Return a call whose arguments fit into a conversation: cut, they are refused as no JSON."""
    if len(call.arguments) <= LONGEST_ANSWER:
        return call
    return replace(call, arguments=f"{call.arguments[:_SHOWN_ARGUMENTS]}{CUT_MARK}")


def _with_distinct_ids(calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """Return the calls with an id for each: some servers give none, or the same to all."""
    distinct: list[ToolCall] = []
    for number, call in enumerate(calls):
        is_usable = call.id and all(call.id != other.id for other in distinct)
        distinct.append(call if is_usable else replace(call, id=f"{call.id}call-{number}"))
    return tuple(distinct)


def _missing_model() -> Refusal:
    return Refusal(
        "No model is configured for the conversation. Name one with --model or KILN_CHAT_MODEL, "
        "and give its provider's key in the environment. Examples: "
        "ANTHROPIC_API_KEY=… kiln-chat --model anthropic/claude-sonnet-4-5, "
        "OPENAI_API_KEY=… kiln-chat --model openai/gpt-4.1, "
        "GEMINI_API_KEY=… kiln-chat --model gemini/gemini-2.5-pro. For an OpenAI-compatible "
        "server of your own (Ollama, LM Studio, vLLM): "
        "kiln-chat --api-base http://localhost:11434/v1 --model NAME, with KILN_CHAT_API_KEY if "
        "it needs a key. /tools and /call work without a model. --model embedded needs nothing: "
        "it guides through menus."
    )
