"""The context of a request, as the handlers of the server get it."""

from mcp.server.context import ServerRequestContext

from kiln_mcp.workbench.workspace import Workspace

Context = ServerRequestContext[Workspace]
