"""What the capabilities about run configs answer."""

from kiln_mcp.workbench.capability import Result


class RunConfigCreated(Result):
    """A new run config."""

    run_config: str
    id: str
    model: str
    prompt: str
    warnings: list[str]
    next_step: str
