"""The models of an OpenAI-compatible server, asked without litellm over pooled connections."""

import json
import time
from collections.abc import Mapping
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING

import anyio

from kiln_mcp.llm.abilities import Abilities, Ability, ObservedAbilities
from kiln_mcp.llm.deltas import AnswerStream, deltas_of
from kiln_mcp.llm.errors import KeyProblem, ModelError, ServerDown
from kiln_mcp.llm.limits.rate_limiter import RateLimiters
from kiln_mcp.llm.limits.shared_limits import ServerLimits
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.prices import Price, with_cost, with_token_count
from kiln_mcp.llm.providers.addresses import shared_name
from kiln_mcp.llm.providers.dialect import Dialect
from kiln_mcp.llm.providers.dialect_loop import DialectLoop
from kiln_mcp.llm.providers.dialects import Dialects, abilities_in
from kiln_mcp.llm.providers.event_stream import read_events
from kiln_mcp.llm.providers.http_errors import (
    is_page,
    page_description,
    unreadable_answer,
    wrong_address,
)
from kiln_mcp.llm.providers.model_list import ServerModels
from kiln_mcp.llm.providers.openai_format import chat_body, read_chat_answer
from kiln_mcp.llm.providers.reply_bodies import MOST_QUOTED_BYTES, read_body
from kiln_mcp.llm.providers.server_connection import CONNECT_S, ServerConnection
from kiln_mcp.llm.providers.server_settings import ServerSettings
from kiln_mcp.llm.providers.stream_assembly import Assembly

if TYPE_CHECKING:
    import aiohttp


class ServerModel:
    """All models of one configured server.

    Attributes:
        rate_limiter: The way to it, shared by its models: the limits that are set are the server's.
    """

    def __init__(
        self,
        settings: ServerSettings,
        environment: Mapping[str, str],
        timeout_s: float,
        rate_limiters: RateLimiters,
        dialects: Dialects,
    ) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._connection = ServerConnection(settings, environment, timeout_s)
        self._list = ServerModels(settings.name, self._connection)
        default = Dialect(json_mode="schema" if settings.schema_mode else "object")
        self._dialects = dialects.of_server(self.address, default)
        self._loop = DialectLoop(self._dialects, self._complete_once, self._stream_once)
        self._observations = ObservedAbilities()
        limits = ServerLimits(
            settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute
        )
        self.rate_limiter = rate_limiters.make(settings.name, limits, shared_name(self.address))

    @property
    def concurrency(self) -> int:
        """The most requests at once, as it is configured."""
        return self._settings.concurrency

    @property
    def address(self) -> str:
        """The server's address, up to and including `/v1`, as it may be shown."""
        return self._connection.address

    @property
    def price(self) -> Price | None:
        """The configured price; None if there is none."""
        settings = self._settings
        per_million = settings.input_usd_per_million, settings.output_usd_per_million
        match per_million:
            case (float() | int() as input_usd, float() | int() as output_usd):
                return Price(input_usd / 1e6, output_usd / 1e6, input_usd / 1e6)
            case _:
                return None

    def abilities(self, model: str) -> Abilities:
        """Return a model's abilities: learned, shown since this process began, or configured."""
        abilities = abilities_in(self._dialects.of(model), self._dialects.facts(model))
        return abilities.over(self._observations.of(model))

    async def names(self) -> list[str]:
        """Return the models that the server lists.

        Raises:
            ModelError: The server does not answer, or not with a list.
        """
        return await self._list.names()

    async def check_has(self, model: str) -> None:
        """Refuse a model that cannot answer now, as far as the server's list tells.

        Raises:
            ServerDown: Nothing answers at its address.
            KeyProblem: It needs a key and none is set, or it does not accept the key.
            UnknownModel: It lists its models, and this is none of them.
        """
        try:
            names = await self.names()
        except (ServerDown, KeyProblem):
            raise
        except ModelError:  # not every server has a list
            return
        self._list.check(model, names)

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request.

        Raises:
            ModelError: Whatever goes wrong.
        """
        return await self._loop.complete(request)

    def stream(self, request: ModelRequest) -> AnswerStream:
        """Answer a request while it is being written.

        Raises:
            ModelError: Whatever goes wrong, also in the middle of an answer.
        """
        return self._loop.stream(request)

    def lessons(self, model: str) -> tuple[str, ...]:
        """Return what was learned of a model's dialect, as sentences."""
        return self._dialects.lessons(model)

    def forget(self, model: str) -> None:
        """Forget what was learned of a model's dialect, and what it has shown."""
        self._dialects.forget(model)
        self._observations.forget(model)

    def _full(self, request: ModelRequest) -> str:
        return f"{self._settings.name}/{request.model}"

    async def _complete_once(self, request: ModelRequest, dialect: Dialect) -> ModelAnswer:
        answer = await self._post(request, dialect)
        await self._observations.take(request, answer, dialect.json_mode_of(request))
        return answer

    async def _post(self, request: ModelRequest, dialect: Dialect) -> ModelAnswer:
        body = chat_body(request, request.model, dialect)
        started = time.perf_counter()
        async with self._connection.translate_failures(self._full(request)):
            session = await self._connection.open()
            async with session.post(self._completions, json=body) as response:
                return await self._read_whole(request, response, started)

    @property
    def _completions(self) -> str:
        return f"{self._connection.url}/chat/completions"

    async def _stream_once(self, request: ModelRequest, dialect: Dialect) -> AnswerStream:
        async with aclosing(self._read_stream(request, dialect)) as parts:
            async for part in parts:
                if isinstance(part, ModelAnswer):
                    mode = dialect.json_mode_of(request)
                    await self._observations.take(request, part, mode)
                yield part

    async def _read_stream(self, request: ModelRequest, dialect: Dialect) -> AnswerStream:
        started = time.perf_counter()
        async with self._connection.translate_failures(self._full(request)):
            response = await self._begin_stream(request, dialect)
            try:
                is_whole = response.content_type in {"application/json", "text/html"}
                if response.status == 200 and response.content_type != "text/html":
                    streams = Ability.NO if is_whole else Ability.SEEN
                    self._observations.learn(request.model, "streaming", streams)
                if response.status != 200 or is_whole:
                    answer = await self._read_whole(request, response, started)
                    for delta in deltas_of(answer):
                        yield delta
                    yield answer
                    return
                assembly = Assembly(self._full(request), self._connection.mask)
                async with aclosing(read_events(response, assembly, self._timeout_s)) as events:
                    async for data in events:
                        for delta in assembly.read(data):
                            yield delta
                        if assembly.is_closed:
                            break
                for delta in assembly.end():
                    yield delta
                yield self._with_cost(request, assembly.answer(time.perf_counter() - started))
            finally:
                response.close()  # not returned to the pool: the server learns that it may stop

    async def _begin_stream(
        self, request: ModelRequest, dialect: Dialect
    ) -> "aiohttp.ClientResponse":
        import aiohttp

        body = chat_body(request, request.model, dialect) | {"stream": True}
        if dialect.streaming_usage == "yes":
            body["stream_options"] = {"include_usage": True}
        endless = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        session = await self._connection.open()
        with anyio.fail_after(self._timeout_s):
            return await session.post(self._completions, json=body, timeout=endless)

    async def _read_whole(
        self, request: ModelRequest, response: "aiohttp.ClientResponse", started: float
    ) -> ModelAnswer:
        """Return the answer that comes in one piece, or raise the server's refusal."""
        # A short answer came with its headers: there is nothing to wait for.
        is_there = response.content.is_eof()
        with nullcontext() if is_there else anyio.fail_after(self._timeout_s):
            content = await read_body(response, self._full(request))
        if response.status != 200:
            text = content.decode("utf-8", "replace")
            raise await self._list.refusal(request.model, response.status, text, response.headers)
        return self._read(request, content, time.perf_counter() - started)

    def _read(self, request: ModelRequest, content: bytes, latency_s: float) -> ModelAnswer:
        model, mask = self._full(request), self._connection.mask
        if is_page(content):
            raise wrong_address(model, self.address, mask(page_description(content)))
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError) as error:
            start = content[:MOST_QUOTED_BYTES].decode("utf-8", "replace")
            raise unreadable_answer(model, mask(f"no JSON: {start}")) from error
        return self._with_cost(
            request, read_chat_answer(model, reply, latency_s=latency_s, mask=mask)
        )

    def _with_cost(self, request: ModelRequest, answer: ModelAnswer) -> ModelAnswer:
        return with_cost(with_token_count(answer, request), self.price)

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()
