"""Capabilities of other distributions: one that cannot be used is named, and all else works."""

from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import cast

import pytest

from kiln_mcp.catalogue import Extension, installed_catalogue, with_extensions
from kiln_mcp.doors.server.door import build_server
from kiln_mcp.workbench.capability import Effect, Result, capability
from kiln_mcp.workbench.workspace import Workspace


class Greeting(Result):
    text: str


@capability(effect=Effect.READS, title="Greet")
async def greet(workspace: Workspace) -> Greeting:
    """Say hello."""
    return Greeting(text="hello")


@capability(effect=Effect.READS, title="Describe a project")
async def describe_project(workspace: Workspace) -> Greeting:
    """Take the name of one of ours."""
    return Greeting(text="mine")


@capability(effect=Effect.READS, title="Unreadable")
async def unreadable(workspace: Workspace, what: "NoSuchType") -> Greeting:  # noqa: F821 # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]
    """Have a signature that nobody can read."""
    return Greeting(text="?")


@dataclass
class Point:
    """An entry point that yields an object, or raises it."""

    name: str
    yields: object
    value: str = "other.module:item"

    def load(self) -> object:
        if isinstance(self.yields, BaseException):
            raise self.yields
        return self.yields


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (EntryPoint("gone", "no_such_module:item", "kiln_mcp.capabilities"), "ModuleNotFoundError"),
        (Point("broken", RuntimeError("x" * 999)), "RuntimeError: xxx"),
        (Point("leaves", SystemExit(3)), "SystemExit: 3"),
        (Point("text", "no capability"), "it names a str, not a capability"),
        (Point("double", describe_project), "'describe_project' already"),
        (Point("unreadable", cast("object", unreadable)), "NameError"),
    ],
)
def test_an_extension_that_cannot_be_used_is_named_and_the_rest_is_offered(
    point: Extension, reason: str
) -> None:
    catalogue = with_extensions([point, Point("good", greet)])
    names = [item.name for item in catalogue.capabilities]
    assert names == [*(c.name for c in installed_catalogue().capabilities), "greet"]
    [problem] = catalogue.problems
    assert f"'{point.name}'" in problem
    assert reason in problem
    assert len(problem) < 500
    server = build_server(nullcontext(cast("Workspace", None)), catalogue)
    assert problem in (server.instructions or "")
