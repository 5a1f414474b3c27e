"""What the capabilities about run configs answer."""

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class RunConfigCreated(Result):
    """A new run config."""

    run_config: str
    id: str
    model: str
    prompt: str
    warnings: list[str]
    next: list[NextStep]
