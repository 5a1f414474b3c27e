"""The models that a server lists, and the error for a model that it does not have."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from kiln_mcp.llm.errors import ModelError, ServerFailure, UnknownModel, WrongAddress
from kiln_mcp.llm.providers.http_errors import (
    is_page,
    missing_list,
    nothing_there,
    page_description,
    refusal,
    server_message,
    wrong_address,
)
from kiln_mcp.llm.providers.reply_bodies import read_body
from kiln_mcp.llm.providers.server_connection import ServerConnection
from storage.text.characters import repair_surrogates
from storage.text.suggestions import close_names

LONGEST_LISTING_S: Final = 10.0
MOST_NAMES: Final = 20


class ServerModels:
    """The list of one server, requested again each time."""

    def __init__(self, server: str, connection: ServerConnection) -> None:
        self._server = server
        self._connection = connection

    async def names(self) -> list[str]:
        """Return the models that the server lists.

        Raises:
            ModelError: The server does not answer, or not with a list.
        """
        import aiohttp

        name, connection = self._server, self._connection
        limit = aiohttp.ClientTimeout(total=LONGEST_LISTING_S)
        async with connection.translate_failures(name, LONGEST_LISTING_S):
            session = await connection.open()
            async with session.get(f"{connection.url}/models", timeout=limit) as response:
                content = await read_body(response, name)
                if response.status == 404:
                    raise missing_list(name, connection.address)
                if response.status != 200:
                    text = connection.mask(content.decode("utf-8", "replace"))
                    keys = connection.key_variables
                    raise refusal(name, response.status, text, response.headers, keys)
                if is_page(content):
                    fact = connection.mask(page_description(content))
                    raise wrong_address(name, connection.address, fact)
        try:
            return [repair_surrogates(str(model["id"])) for model in json.loads(content)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ServerFailure(name, "its list of models cannot be read.") from error

    async def refusal(
        self, model: str, status: int, text: str, headers: Mapping[str, str]
    ) -> ModelError:
        """Return the error for a reply that is not 200, with close names if the model is unknown.

        Args:
            model: The model's name as the server knows it.
            status: The reply's status.
            text: The reply.
            headers: Its headers.
        """
        text = self._connection.mask(text)
        name = f"{self._server}/{model}"
        error = refusal(name, status, text, headers, self._connection.key_variables)
        if not isinstance(error, UnknownModel):
            return error
        try:
            return self._unknown(model, await self.names(), server_message(text))
        except WrongAddress:
            return error if model in text else nothing_there(name, self._connection.address)
        except ModelError:
            return error

    def check(self, model: str, names: Sequence[str]) -> None:
        """Refuse a model that the server does not list.

        Raises:
            UnknownModel: The list does not name it.
        """
        # Ollama leaves `:latest` out; a gateway may list a pattern for many.
        if not {model, f"{model}:latest"} & set(names) and "*" not in "".join(names):
            raise self._unknown(model, names)

    def _unknown(self, model: str, names: Sequence[str], detail: str = "") -> UnknownModel:
        full = [f"{self._server}/{name}" for name in names]
        name = f"{self._server}/{model}"
        return UnknownModel(name, full[:MOST_NAMES], detail, close=close_names(name, full))
