"""The tools that the conformance suite's scenarios of tasks call: capabilities that become jobs."""

from typing import Annotated, Final

import anyio
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import Catalogue
from kiln_mcp.workbench.capability import Effect, Proposal, Result, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal


class Words(Result):
    text: str


@capability(effect=Effect.SPENDS, title="Compute slowly", runs=Runs.AS_JOB)
async def slow_compute(
    workspace: Workspace,
    seconds: Annotated[float, Field(description="How long it takes.")] = 0,
    label: Annotated[str, Field(description="A name for it.")] = "",
) -> Proposal[Words]:
    """Compute for some seconds."""

    async def compute() -> Words:
        await anyio.sleep(seconds)
        return Words(text=f"Computed {label}.")

    return Proposal(Plan("Compute.", calls=1), compute)


@capability(effect=Effect.SPENDS, title="Fail", runs=Runs.AS_JOB)
async def failing_job(workspace: Workspace) -> Proposal[Words]:
    """Fail after a second."""

    async def fail() -> Words:
        await anyio.sleep(1)
        raise Refusal("This job always fails. Start another one.")

    return Proposal(Plan("Fail.", calls=1), fail)


CAPABILITIES: Final = (slow_compute, failing_job)


def with_tasks(catalogue: Catalogue) -> Catalogue:
    """Return a catalogue with the tools of the scenarios."""
    return Catalogue((*catalogue.capabilities, *CAPABILITIES))
