"""A client of the workbench whose person can be put forms, in both eras of the protocol."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import mcp_types as types
from mcp import Client
from mcp.client.context import ClientRequestContext

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.llm import EngineSettings
from kiln_mcp.settings import Settings

Era = Literal["auto", "legacy"]
ERAS: tuple[Era, ...] = ("auto", "legacy")
Form = types.ElicitRequestFormParams
Content = dict[str, str | int | float | bool | list[str] | None]


@dataclass(slots=True)
class Person:
    """A person at a client with forms.

    Attributes:
        answer: What they fill into a form; None to decline it.
        forms: The forms that they saw, but for plans, which they approve.
    """

    answer: Callable[[Form], Content | None]
    forms: list[Form] = field(default_factory=list[Form])

    async def respond(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        assert isinstance(params, Form)
        if "agree" in params.requested_schema["properties"]:
            return types.ElicitResult(action="accept", content={"agree": True})
        self.forms.append(params)
        content = self.answer(params)
        if content is None:
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content=content)


@asynccontextmanager
async def connected(
    folder: Path, person: Person, era: Era, model: str = "embedded"
) -> AsyncGenerator[Client]:
    """Connect a client of a project's workbench whose person can be asked."""
    home = folder / "home"
    engine = EngineSettings(
        default_model=model,
        response_cache=home / "responses.sqlite",
        orders=home / "orders.sqlite",
        environment={},
    )
    catalogue = installed_catalogue()
    workspace = catalogue.open_workspace(Settings(home=home, engine=engine, poll_s=0.05))
    server = build_server(workspace, catalogue)
    with anyio.fail_after(60):
        async with Client(server, mode=era, elicitation_callback=person.respond) as client:
            yield client


async def call(client: Client, tool: str, **arguments: Any) -> Mapping[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content or {}
