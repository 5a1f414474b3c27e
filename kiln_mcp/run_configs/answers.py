"""What the capabilities about run configs answer."""

from pydantic import Field

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class RunConfigCreated(Result):
    """A new run config."""

    run_config: str
    id: str
    handle: str = Field(description="What names it in calls, such as `run-config/new`.")
    model: str
    prompt: str
    warnings: list[str]
    next: list[NextStep]
