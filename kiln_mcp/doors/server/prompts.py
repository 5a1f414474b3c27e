"""Prompts: the workflows, which clients offer as slash commands."""

import mcp_types as types
from mcp.shared.exceptions import MCPError

from kiln_mcp.doors.server.context import Context
from kiln_mcp.doors.server.workflows import Workflow, load_workflows
from storage.text.excerpts import excerpt, excerpts
from storage.text.suggestions import did_you_mean


async def list_prompts(
    context: Context, params: types.PaginatedRequestParams | None
) -> types.ListPromptsResult:
    """List the workflows with their arguments."""
    return types.ListPromptsResult(prompts=[_prompt(item) for item in load_workflows()])


async def get_prompt(
    context: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult:
    """Return the steps of a workflow as a message of the person.

    Raises:
        MCPError: There is no such workflow, or it has no such argument.
    """
    workflow = find_workflow(params.name)
    values = params.arguments or {}
    for name in values.keys() - workflow.arguments.keys():
        raise MCPError(
            types.INVALID_PARAMS,
            f"The prompt {workflow.name} has no argument {excerpt(name)!r}. "
            f"Its arguments are: {', '.join(workflow.arguments)}.",
        )
    content = types.TextContent(type="text", text=workflow.request(values))
    return types.GetPromptResult(
        description=workflow.description,
        messages=[types.PromptMessage(role="user", content=content)],
    )


def find_workflow(name: str) -> Workflow:
    """Return the workflow of this name, written with hyphens or underscores.

    Raises:
        MCPError: There is none.
    """
    workflows = {item.name: item for item in load_workflows()}
    workflow = workflows.get(name.replace("-", "_"))
    if workflow is None:
        hint = did_you_mean(name, workflows)
        raise MCPError(
            types.INVALID_PARAMS,
            f"There is no prompt {excerpt(name)!r}.{hint} The prompts are: {excerpts(workflows)}.",
        )
    return workflow


def _prompt(workflow: Workflow) -> types.Prompt:
    return types.Prompt(
        name=workflow.name,
        title=workflow.title,
        description=workflow.description,
        arguments=[
            types.PromptArgument(name=name, description=description, required=False)
            for name, description in workflow.arguments.items()
        ],
    )
