"""Programs that answer at an HTTP address."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import JsonValue

from kiln_mcp.llm import ModelAnswer, ModelRequest
from kiln_mcp.llm.errors import ServerDown, TooManyRequests
from kiln_mcp.programs.attempts import Retry, with_attempts
from kiln_mcp.programs.errors import ProgramFailure
from kiln_mcp.programs.handover import Handover
from kiln_mcp.programs.program import VARIABLE, EndpointProgram
from kiln_mcp.programs.program_answers import read_answer
from kiln_mcp.programs.program_place import ProgramPlace
from storage.text.excerpts import excerpt_line

if TYPE_CHECKING:
    import aiohttp

CONNECT_S: Final = 10.0
SECRET_HEADER: Final = re.compile(r"authorization|cookie|key|token|secret|password", re.IGNORECASE)
"""Names of headers whose values are secrets."""
_LONGEST_QUOTE: Final = 160


@dataclass(frozen=True, slots=True)
class EndpointModel:
    """Sends each request to an address."""

    program: EndpointProgram
    place: ProgramPlace

    def check(self) -> None:
        """Refuse an endpoint whose headers lack a variable. Nobody is contacted.

        Raises:
            ModelError: One is not set.
        """
        self.place.check_variables(self.program.variables)

    def source_digest(self) -> str:
        """Return "": what lies behind an address cannot be seen."""
        return ""

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Ask the endpoint.

        Raises:
            ProgramFailure: It failed, passed a limit, or answered nothing that can be used.
            ServerDown: Nothing answers there; nothing has been sent.
            TooManyRequests: It asks to wait.
        """
        attempt = partial(self._ask, Handover.of(request))
        return await with_attempts(self.program.retries, attempt)

    async def _ask(self, handover: Handover) -> ModelAnswer:
        import aiohttp

        program, name = self.program, self.place.name
        self.check()
        timeout = aiohttp.ClientTimeout(total=program.timeout_s, sock_connect=CONNECT_S)
        started = time.monotonic()
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                content = await self._content(session, handover)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise ServerDown(f"the program of {name!r}", f"{self._address}: {error}") from error
        except TimeoutError as error:
            raise Retry(name, f"took longer than {program.timeout_s:g} s") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise Retry(name, f"broke the connection: {self._mask(str(error))}") from error
        return read_answer(name, program, content, time.monotonic() - started, self._mask)

    async def _content(self, session: "aiohttp.ClientSession", handover: Handover) -> bytes:
        program = self.program
        body = None if program.method == "GET" else self._body(handover)
        async with session.request(
            program.method,
            handover.fill_address(program.url),
            json=body,
            headers=self._headers(),
            allow_redirects=False,  # the headers' secrets are for this address alone
        ) as response:
            content = await self._read(response)
            if response.status >= 300:
                raise self._refusal(response.status, response.headers, content)
            return content

    async def _read(self, response: "aiohttp.ClientResponse") -> bytes:
        largest = self.program.largest_output
        content = bytearray()
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > largest:
                raise ProgramFailure(self.place.name, f"answered more than {largest} bytes")
        return bytes(content)

    def _body(self, handover: Handover) -> JsonValue:
        if self.program.body is not None:
            return handover.fill_value(self.program.body)
        body = handover.as_object
        return body if handover.history else {k: v for k, v in body.items() if k != "messages"}

    def _headers(self) -> dict[str, str]:
        variables = self.place.environment
        return {
            key: VARIABLE.sub(lambda match: variables.get(match[1], ""), value)
            for key, value in self.program.headers.items()
        }

    def _refusal(self, status: int, headers: Mapping[str, str], content: bytes) -> Exception:
        name = self.place.name
        words = excerpt_line(self._mask(content.decode("utf-8", "replace")), _LONGEST_QUOTE)
        detail = f"answered {status}{f': {words}' if words else ''}"
        if status == 429:
            wait = headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdecimal() else None
            return TooManyRequests(f"the program of {name!r}", detail, seconds)
        if status < 400:
            place = excerpt_line(self._mask(headers.get("Location", "")), _LONGEST_QUOTE)
            return ProgramFailure(name, f"sent us on to {place!r}; give that address itself")
        if status >= 500:
            return Retry(name, detail)
        return ProgramFailure(name, detail)

    @property
    def _address(self) -> str:
        parts = urlsplit(self.program.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"

    def _mask(self, text: str) -> str:
        return self.place.mask(text, self.program.variables)
