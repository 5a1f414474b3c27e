"""The connections to one OpenAI-compatible server: its key, its secrets, its failures."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from kiln_mcp.llm.errors import ServerFailure
from kiln_mcp.llm.providers.addresses import ServerAddress
from kiln_mcp.llm.providers.http_errors import timeout, unreachable
from kiln_mcp.llm.providers.keys import find_key, missing_key
from kiln_mcp.llm.providers.openai_format import CUT_OFF
from kiln_mcp.llm.providers.server_settings import ServerSettings
from storage.text.secret_masks import forms_of, mask_environment, mask_secrets

if TYPE_CHECKING:
    import aiohttp

CONNECT_S: Final = 10
KEEP_ALIVE_S: Final = 60


class ServerConnection:
    """One pool of connections, opened at the first request."""

    def __init__(
        self, settings: ServerSettings, environment: Mapping[str, str], timeout_s: float
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._timeout_s = timeout_s
        self._address = ServerAddress.of(settings.base_url)
        self._secrets = self._address.secrets
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """The server's address, up to and including `/v1`, as it may be shown."""
        return self._address.display_url

    @property
    def url(self) -> str:
        """The address to ask, without a password."""
        return self._address.url

    @property
    def key_variables(self) -> tuple[str, ...]:
        """Where the key is set; empty if the server needs none."""
        variable = self._settings.key_variable
        return (variable,) if variable else ()

    async def open(self) -> "aiohttp.ClientSession":
        """Return the pool.

        Raises:
            KeyProblem: The server needs a key and none is set.
        """
        if self._session is not None:
            return self._session
        import aiohttp

        variable = self._settings.key_variable
        key = await find_key(variable, self._environment) if variable else None
        if variable and not key:
            raise missing_key(f"{self._settings.name}/…", [variable])
        self._secrets |= forms_of(key or "")
        authorization = f"Bearer {key}" if key else self._address.authorization
        if self._session is None:  # another request may have opened it meanwhile
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S),
                headers={"Authorization": authorization} if authorization else {},
                auto_decompress=True,
            )
        return self._session

    def mask(self, text: str) -> str:
        """Return the server's words without the secrets that it was sent."""
        return mask_secrets(mask_environment(text, self._environment), self._secrets)

    @asynccontextmanager
    async def translate_failures(
        self, model: str, timeout_s: float | None = None
    ) -> AsyncGenerator[None]:
        """Raise our errors for those of the connection.

        Args:
            model: The model that is asked.
            timeout_s: How long the answer may take; None for the configured time.
        """
        import aiohttp

        try:
            yield
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise unreachable(model, self.address, error, is_connected=False) from error
        except TimeoutError as error:
            raise timeout(model, timeout_s or self._timeout_s) from error
        except aiohttp.ClientPayloadError as error:
            raise ServerFailure(model, CUT_OFF, is_unanswered=True) from error
        except aiohttp.ClientError as error:
            raise unreachable(model, self.address, error, is_connected=True) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
