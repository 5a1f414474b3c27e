"""Commands about the project that other commands mean."""

from typing import TYPE_CHECKING

from agent.terminal.results import whole_result

if TYPE_CHECKING:
    from agent.session import Session


async def choose(session: "Session", words: str) -> None:
    """Name the project; without a name, choose one of those that were opened."""
    session.project = words or await session.pick("project", "")
    session.front.view.status.project = session.project
    session.front.say(f"Commands are about the project {session.project} now.")


async def describe(session: "Session", words: str) -> None:
    """Show where the project stands."""
    await session.call("describe_project", {"project": words or await session.require_project()})
    session.front.print(whole_result(session.front.view.results.find("")))
