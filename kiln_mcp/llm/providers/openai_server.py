"""OpenAI-compatible servers, the lean way: one pooled connection set a server, no client set-up."""

import json
import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio

from kiln_mcp.llm.abilities import Abilities, Ability, Experience, Feature
from kiln_mcp.llm.deltas import Streamed, deltas_of
from kiln_mcp.llm.errors import (
    AnswerTimedOut,
    KeyRefused,
    MissingKey,
    ModelError,
    NoModelList,
    RequestRefused,
    ServerDown,
    ServerFailed,
    UnknownModel,
    UnreadableAnswer,
    WrongAddress,
)
from kiln_mcp.llm.limits.gate import Gates, Limits
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.prices import Price, counted, priced
from kiln_mcp.llm.providers.addresses import Address, everywhere
from kiln_mcp.llm.providers.http_errors import (
    is_page,
    nothing_there,
    refusal,
    said_by_server,
    said_of_page,
    unreachable,
)
from kiln_mcp.llm.providers.keys import find_key, secret_forms, without, without_keys
from kiln_mcp.llm.providers.openai_format import chat_body, read_chat_answer
from kiln_mcp.llm.providers.reply_bodies import LARGEST_REPLY_BYTES, MOST_QUOTED_BYTES, read_body
from kiln_mcp.llm.providers.server_settings import ServerSettings
from kiln_mcp.llm.providers.sse import EventReader
from kiln_mcp.llm.providers.stream_assembly import CUT_OFF, Assembly
from storage.text.characters import repair_surrogates

if TYPE_CHECKING:
    import aiohttp

_JsonMode = Literal["schema", "object", "words"]
"""How JSON is asked for: by schema, as any object with the schema in words, or in words alone."""
_NEXT_MODE: Final[Mapping[_JsonMode | None, _JsonMode]] = {"schema": "object", "object": "words"}
_FEATURES: Final[Mapping[_JsonMode | None, Feature]] = {
    "schema": "json_schema",
    "object": "json_object",
}
_NO_SCHEMA_MODE: Final = ("response_format", "json_schema", "guided", "grammar")
LONGEST_LISTING_S: Final = 10.0
MOST_NAMES: Final = 20
LONGEST_TAIL_S: Final = 5.0
"""Seconds that the usage may come after the end of an answer that was streamed."""


class ServerModel:
    """All models of one configured server.

    Attributes:
        gate: The way to it, shared by its models: the limits that are set are the server's.
    """

    def __init__(
        self,
        settings: ServerSettings,
        environment: Mapping[str, str],
        timeout_s: float,
        gates: Gates,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._json_mode: _JsonMode = "schema" if settings.schema_mode else "object"
        self._usage_mode = True
        self._experience = Experience()
        self._address = Address.of(settings.base_url)
        self._secrets = self._address.secrets
        limits = Limits(
            settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute
        )
        self.gate = gates.gate(settings.name, limits, everywhere(self.address))

    @property
    def address(self) -> str:
        """The server's address, up to and including `/v1`, as it may be shown."""
        return self._address.shown

    @property
    def price(self) -> Price | None:
        """The configured price; None where none was."""
        read, written = self._settings.input_usd_per_million, self._settings.output_usd_per_million
        if read is None or written is None:
            return None
        return Price(read / 1e6, written / 1e6, read / 1e6)

    def abilities(self, model: str) -> Abilities:
        """Return what one of its models can do: seen since this process began, or configured."""
        by_mode: Mapping[_JsonMode, Abilities] = {
            "schema": Abilities(),
            "object": Abilities(json_schema=Ability.REFUSED),
            "words": Abilities(json_schema=Ability.REFUSED, json_object=Ability.REFUSED),
        }
        known = by_mode[self._json_mode]
        if not self._settings.schema_mode:
            known = replace(known, json_schema=Ability.NO)
        return known.over(self._experience.of(model))

    async def _open(self) -> "aiohttp.ClientSession":
        if self._session is not None:
            return self._session
        import aiohttp

        variable = self._settings.key_variable
        key = await find_key(variable, self._environment) if variable else None
        if variable and not key:
            raise MissingKey(f"{self._settings.name}/…", [variable])
        self._secrets |= secret_forms(key or "")
        authorization = f"Bearer {key}" if key else self._address.authorization
        if self._session is None:  # another request may have opened it meanwhile
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=10),
                headers={"Authorization": authorization} if authorization else {},
                auto_decompress=True,
            )
        return self._session

    def _mask(self, text: str) -> str:
        """Return what the server says without the secrets that it was sent."""
        return without(without_keys(text, self._environment), self._secrets)

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request.

        Raises:
            ModelError: One of its kinds, for everything that can go wrong.
        """
        while True:
            mode = self._mode_for(request)
            try:
                answer = await self._post(request)
            except RequestRefused as error:
                self._experience.refused(request, str(error))
                if not self._learned_from(error, mode, streaming=False):
                    raise
            else:
                await self._experience.take(request, answer, _FEATURES.get(mode))
                return answer

    async def stream(self, request: ModelRequest) -> Streamed:
        """Answer a request while it is being written.

        Raises:
            ModelError: One of its kinds, also in the middle of an answer.
        """
        began = False
        while True:
            mode = self._mode_for(request)
            try:
                async with aclosing(self._streamed(request)) as parts:
                    async for part in parts:
                        began = True
                        if isinstance(part, ModelAnswer):
                            await self._experience.take(request, part, _FEATURES.get(mode))
                        yield part
            except RequestRefused as error:
                self._experience.refused(request, str(error))
                if began or not self._learned_from(error, mode, streaming=True):
                    raise
            else:
                return

    def _mode_for(self, request: ModelRequest) -> "_JsonMode | None":
        """Return how JSON is asked for now; None where none is."""
        if request.schema is None:
            return None
        is_object = request.schema.get("type") == "object"
        return "words" if self._json_mode == "object" and not is_object else self._json_mode

    def _learned_from(
        self, error: RequestRefused, mode: "_JsonMode | None", *, streaming: bool
    ) -> bool:
        """Whether a refusal taught how to ask this server, so that asking again may help.

        Others may have learned it meanwhile: what counts is how this request was sent.
        """
        said = str(error)
        if streaming and "stream_options" in said:
            learns, self._usage_mode = self._usage_mode, False
            return learns
        if mode in _NEXT_MODE and any(word in said for word in _NO_SCHEMA_MODE):
            if self._json_mode == mode:
                self._json_mode = _NEXT_MODE[mode]
            return True
        return False

    def _full(self, request: ModelRequest) -> str:
        return f"{self._settings.name}/{request.model}"

    @property
    def _keys(self) -> tuple[str, ...]:
        variable = self._settings.key_variable
        return (variable,) if variable else ()

    async def _refusal(
        self, request: ModelRequest, status: int, text: str, headers: Mapping[str, str]
    ) -> ModelError:
        """Return the error for a reply that is not 200, with close names where that helps."""
        text = self._mask(text)
        error = refusal(self._full(request), status, text, headers, self._keys)
        if not isinstance(error, UnknownModel):
            return error
        try:
            return self._unknown(request.model, await self.names(), said_by_server(text))
        except (WrongAddress, NoModelList):
            is_meant = request.model in text
            return error if is_meant else nothing_there(self._full(request), self.address)
        except ModelError:
            return error

    async def check_has(self, model: str) -> None:
        """Refuse a model that cannot answer now, as far as the server tells by its list.

        Raises:
            ServerDown: Nothing answers at its address.
            MissingKey: It wants a key and none is set.
            KeyRefused: It does not accept the key.
            UnknownModel: It lists its models, and this is none of them.
        """
        try:
            names = await self.names()
        except (ServerDown, MissingKey, KeyRefused):
            raise
        except ModelError:  # not every server has a list
            return
        # Ollama leaves `:latest` out; a gateway may list a pattern for many.
        if not {model, f"{model}:latest"} & set(names) and "*" not in "".join(names):
            raise self._unknown(model, names)

    def _unknown(self, model: str, names: Sequence[str], said: str = "") -> UnknownModel:
        full = [f"{self._settings.name}/{name}" for name in names]
        name = f"{self._settings.name}/{model}"
        return UnknownModel(name, full[:MOST_NAMES], said, close=get_close_matches(name, full))

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        mode = self._mode_for(request)
        body = chat_body(request, request.model, schema_in_words=mode != "schema")
        if mode == "object":
            body["response_format"] = {"type": "json_object"}
        return body

    async def _post(self, request: ModelRequest) -> ModelAnswer:
        body = self._body(request)
        started = time.perf_counter()
        async with self._failures_named(self._full(request)):
            session = await self._open()
            async with session.post(f"{self._address.url}/chat/completions", json=body) as response:
                return await self._whole(request, response, started)

    def _read(self, request: ModelRequest, content: bytes, latency_s: float) -> ModelAnswer:
        if is_page(content):
            raise WrongAddress(self._full(request), self.address, self._mask(said_of_page(content)))
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError) as error:
            start = content[:MOST_QUOTED_BYTES].decode("utf-8", "replace")
            said = self._mask(f"no JSON: {start}")
            raise UnreadableAnswer(self._full(request), said) from error
        model = self._full(request)
        answer = read_chat_answer(model, reply, latency_s=latency_s, mask=self._mask)
        return priced(counted(answer, request), self.price)

    async def _streamed(self, request: ModelRequest) -> Streamed:
        import aiohttp

        body = self._body(request) | {"stream": True}
        if self._usage_mode:
            body["stream_options"] = {"include_usage": True}
        endless = aiohttp.ClientTimeout(total=None, sock_connect=10)
        started = time.perf_counter()
        async with self._failures_named(self._full(request)):
            session = await self._open()
            with anyio.fail_after(self._timeout_s):
                response = await session.post(
                    f"{self._address.url}/chat/completions", json=body, timeout=endless
                )
            try:
                in_one_piece = response.content_type in {"application/json", "text/html"}
                if response.status == 200 and response.content_type != "text/html":
                    streams = Ability.NO if in_one_piece else Ability.SEEN
                    self._experience.learn(request.model, "streaming", streams)
                if response.status != 200 or in_one_piece:
                    answer = await self._whole(request, response, started)
                    for delta in deltas_of(answer):
                        yield delta
                    yield answer
                    return
                assembly = Assembly(self._full(request), self._mask)
                async with aclosing(self._events(response, assembly)) as events:
                    async for data in events:
                        for delta in assembly.read(data):
                            yield delta
                        if assembly.ended:
                            break
                for delta in assembly.end():
                    yield delta
                answer = assembly.answer(time.perf_counter() - started)
                yield priced(counted(answer, request), self.price)
            finally:
                response.close()  # not given back to the pool: the server hears that it may stop

    async def _whole(
        self, request: ModelRequest, response: "aiohttp.ClientResponse", started: float
    ) -> ModelAnswer:
        """Return the answer that comes in one piece, or raise what the server refused."""
        with anyio.fail_after(self._timeout_s):
            content = await read_body(response, self._full(request))
        if response.status != 200:
            text = content.decode("utf-8", "replace")
            raise await self._refusal(request, response.status, text, response.headers)
        return self._read(request, content, time.perf_counter() - started)

    async def names(self) -> list[str]:
        """Return the models that the server says it has.

        Raises:
            ModelError: The server does not answer, or not so.
        """
        import aiohttp

        name = self._settings.name
        soon = aiohttp.ClientTimeout(total=LONGEST_LISTING_S)
        async with self._failures_named(name, LONGEST_LISTING_S):
            session = await self._open()
            async with session.get(f"{self._address.url}/models", timeout=soon) as response:
                content = await read_body(response, name)
                if response.status == 404:
                    wrong = nothing_there(name, self.address)
                    raise wrong if wrong.proposal else NoModelList(name, self.address)
                if response.status != 200:
                    text = content.decode("utf-8", "replace")
                    said = self._mask(text)
                    raise refusal(name, response.status, said, response.headers, self._keys)
                if is_page(content):
                    raise WrongAddress(name, self.address, self._mask(said_of_page(content)))
        try:
            return [repair_surrogates(str(model["id"])) for model in json.loads(content)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ServerFailed(name, "its list of models cannot be read.") from error

    @asynccontextmanager
    async def _failures_named(
        self, model: str, timeout_s: float | None = None
    ) -> AsyncGenerator[None]:
        import aiohttp

        try:
            yield
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise unreachable(model, self.address, error, reached=False) from error
        except TimeoutError as error:
            raise AnswerTimedOut(model, timeout_s or self._timeout_s) from error
        except aiohttp.ClientPayloadError as error:
            raise ServerFailed(model, CUT_OFF, unanswered=True) from error
        except aiohttp.ClientError as error:
            raise unreachable(model, self.address, error, reached=True) from error

    async def _events(
        self, response: "aiohttp.ClientResponse", assembly: Assembly
    ) -> AsyncGenerator[str]:
        """Yield the data of a stream's events; each may take as long as a whole answer."""
        reader = EventReader()
        size = 0
        deadline = anyio.current_time() + self._timeout_s
        while size < LARGEST_REPLY_BYTES:
            piece = b""
            with anyio.CancelScope(deadline=deadline) as waiting:
                piece = await response.content.readany()
            if waiting.cancelled_caught:
                if assembly.finished:
                    return
                raise TimeoutError
            size += len(piece)
            for data in reader.feed(piece) if piece else reader.end():
                yield data
                wait = min(self._timeout_s, LONGEST_TAIL_S if assembly.finished else math.inf)
                deadline = anyio.current_time() + wait  # comments do not count
            if not piece:
                return

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
