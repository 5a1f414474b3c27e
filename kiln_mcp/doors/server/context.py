"""The context that the server's handlers get with a request."""

from mcp.server.context import ServerRequestContext

from kiln_mcp.workbench.workspace import Workspace

Context = ServerRequestContext[Workspace]
