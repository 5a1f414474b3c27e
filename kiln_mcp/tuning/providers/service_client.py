"""Requests to a service: with its key, with retries, with its refusals as sentences."""

import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import anyio
from pydantic import JsonValue

from kiln_mcp.llm import EngineSettings
from kiln_mcp.llm.errors import KeyProblem
from kiln_mcp.llm.providers.http_errors import retry_after, server_message
from kiln_mcp.llm.providers.keys import KEYRING_SERVICE, find_key
from kiln_mcp.tuning.providers.provider import TrainingRequest
from storage.errors import WorkbenchError
from storage.text.secret_masks import forms_of, mask_environment, mask_secrets

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx2

JsonObject = dict[str, JsonValue]

TIMEOUT_S: Final = 60.0
UPLOAD_S: Final = 3600.0
LONGEST_WAIT_S: Final = 60.0
_PIECE_BYTES: Final = 1 << 16


class ServiceFailure(WorkbenchError):
    """A service refused a request, or could not be reached.

    Attributes:
        status: The HTTP status of its reply; 0 if there was none.
    """

    def __init__(self, title: str, action: str, detail: str, status: int = 0) -> None:
        """Write the sentence.

        Args:
            title: The service.
            action: What it was asked to do, as "upload train.jsonl".
            detail: Its own words, or the reason of a broken connection.
            status: The HTTP status of its reply.
        """
        self.status = status
        super().__init__(
            f"{title} did not {action}: {detail}. Nothing is lost: run the same call again, or "
            "resume its job, when the cause is mended."
        )


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file of a request.

    Attributes:
        path: Where it lies.
        fields: Further fields of the form.
        name: The name that the service is told.
        field: The name of the form's field; "" if the file is the whole body.
    """

    path: Path
    fields: Mapping[str, str]
    name: str
    field: str = "file"


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """The requests to one service.

    Attributes:
        title: The service, for people.
        url: Where its paths begin, without a slash at its end.
        key_variables: One of these variables holds the key.
        settings: Where keys are looked up, and how failures that may pass are waited out.
    """

    title: str
    url: str
    key_variables: tuple[str, ...]
    settings: EngineSettings

    async def key(self) -> str:
        """Return the key.

        Raises:
            KeyProblem: None is set.
        """
        for variable in self.key_variables:
            if key := await find_key(variable, self.settings.environment):
                return key
        raise KeyProblem(
            "Nothing was sent: {title} needs a key and none is set. Set {variables} in the "
            "environment that your client, or terminal, starts kiln-mcp with, and start the client "
            "again. Or keep it in the system's keyring (keyring set {service} {variable}).",
            title=self.title,
            variables=" or ".join(self.key_variables),
            service=KEYRING_SERVICE,
            variable=self.key_variables[0],
        )

    async def get(self, path: str, action: str) -> JsonObject:
        """Read something; again after failures that may pass.

        Raises:
            ServiceFailure: It was refused, or the service cannot be reached.
        """
        return await self._send("GET", path, action)

    async def post(
        self, path: str, action: str, body: JsonObject, *, is_repeatable: bool = False
    ) -> JsonObject:
        """Send a request.

        Args:
            path: Below the address.
            action: What it does, for the sentence of a failure.
            body: JSON.
            is_repeatable: Whether a second one does no harm, if the first one's reply was lost.

        Raises:
            ServiceFailure: It was refused, or the service cannot be reached.
        """
        return await self._send("POST", path, action, body=body, is_repeatable=is_repeatable)

    async def cancel(self, path: str) -> None:
        """Cancel a training.

        Raises:
            ServiceFailure: It was refused, or the service cannot be reached.
        """
        await self.post(path, "cancel the training", {}, is_repeatable=True)

    async def delete(self, path: str, action: str) -> JsonObject:
        """Remove something; again after failures that may pass.

        Raises:
            ServiceFailure: It was refused, or the service cannot be reached.
        """
        return await self._send("DELETE", path, action)

    async def upload(self, path: str, action: str, file: UploadFile) -> JsonObject:
        """Upload a file; again after a lost connection.

        Raises:
            ServiceFailure: It was refused, or the service cannot be reached.
        """
        return await self._send("POST", path, action, file=file)

    async def _send(
        self,
        method: str,
        path: str,
        action: str,
        *,
        body: JsonObject | None = None,
        file: UploadFile | None = None,
        is_repeatable: bool = True,
    ) -> JsonObject:
        import httpx2

        key, wait_s, attempt = await self.key(), self.settings.first_wait_s, 1
        while True:
            is_last, asked_s = attempt >= self.settings.attempts, None
            try:
                async with self._response(method, path, key, body, file) as (reply, text):
                    if reply.status_code < HTTPStatus.MULTIPLE_CHOICES:
                        return self._read(text, action)
                    if is_last or not _may_pass(reply.status_code, is_repeatable=is_repeatable):
                        raise self._refusal(action, reply.status_code, text, key)
                    asked_s = retry_after(reply.headers)
            except httpx2.TransportError as error:
                was_sent = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                if is_last or (was_sent and not is_repeatable):
                    detail = self._mask(str(error) or type(error).__name__, key)
                    raise ServiceFailure(self.title, action, detail) from error
            await anyio.sleep(min(asked_s or wait_s, LONGEST_WAIT_S))
            wait_s, attempt = wait_s * 2, attempt + 1

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        key: str,
        body: JsonObject | None,
        file: UploadFile | None,
    ) -> "AsyncGenerator[tuple[httpx2.Response, str]]":
        import httpx2

        headers = {"Authorization": f"Bearer {key}"}
        timeout = httpx2.Timeout(TIMEOUT_S if file is None else UPLOAD_S, connect=10)
        async with httpx2.AsyncClient(
            headers=headers, timeout=timeout, follow_redirects=False
        ) as client:
            address = f"{self.url}{path}"
            if file is None:
                reply = await client.request(method, address, json=body)
            else:
                reply = await _send_file(client, address, file)
            yield reply, reply.text

    def _read(self, text: str, action: str) -> JsonObject:
        try:
            value = cast("JsonValue", json.loads(text or "{}"))
        except ValueError as error:
            raise ServiceFailure(self.title, action, "its reply is no JSON") from error
        if not isinstance(value, dict):
            raise ServiceFailure(self.title, action, "its reply is no JSON object")
        return value

    def _refusal(self, action: str, status: int, text: str, key: str) -> WorkbenchError:
        detail = self._mask(server_message(text), key)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return KeyProblem(
                "{title} does not accept the key in {variables}: {detail} Check the key's value "
                "and rights, then try again.",
                title=self.title,
                variables=" or ".join(self.key_variables),
                detail=detail,
            )
        return ServiceFailure(self.title, action, f"{detail.rstrip('.')} (status {status})", status)

    def _mask(self, text: str, key: str) -> str:
        return mask_secrets(mask_environment(text, self.settings.environment), forms_of(key))


async def upload_chat_files(
    client: ServiceClient, path: str, request: TrainingRequest
) -> dict[str, str]:
    """Upload the files of a request as OpenAI's interface takes them; return their ids by role.

    Raises:
        ServiceFailure: One was refused, or the service cannot be reached.
    """
    files = {"training_file": request.train_file, "validation_file": request.validation_file}
    ids: dict[str, str] = {}
    for role, file in files.items():
        if file is not None:
            upload = UploadFile(file, {"purpose": "fine-tune"}, f"{request.name}-{file.name}")
            ids[role] = text_at(
                await client.upload(path, f"take the file {file.name}", upload), "id"
            )
    return ids


async def _send_file(
    client: "httpx2.AsyncClient", address: str, file: UploadFile
) -> "httpx2.Response":
    """Send a file piece by piece: it may be larger than the memory."""
    if not file.field:
        size = (await anyio.Path(file.path).stat()).st_size
        headers = {"Content-Length": str(size), "Content-Type": "application/jsonl"}
        return await client.post(address, content=_pieces(file.path), headers=headers)
    # httpx's async form reads an open file piece by piece too.
    with file.path.open("rb") as stream:
        files = {file.field: (file.name, stream, "application/jsonl")}
        return await client.post(address, data=dict(file.fields), files=files)


async def _pieces(path: Path) -> "AsyncGenerator[bytes]":
    async with await anyio.open_file(path, "rb") as stream:
        while piece := await stream.read(_PIECE_BYTES):
            yield piece


def _may_pass(status: int, *, is_repeatable: bool) -> bool:
    """Return whether a refusal may pass by itself: too many requests, or a server in trouble."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    return is_repeatable and (status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == 408)


def text_at(value: JsonValue, *keys: str, default: str = "") -> str:
    """Return the text at a path of keys in JSON; the default if there is no text."""
    for key in keys:
        if not isinstance(value, dict):
            return default
        value = value.get(key)
    return value if isinstance(value, str) else default
