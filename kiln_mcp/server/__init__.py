"""The MCP door: every capability as a tool, every job as a resource and a task, in both eras."""

from kiln_mcp.server.door import build_server
from kiln_mcp.server.refusing import refuse_all
from kiln_mcp.server.stdio import serve_stdio

__all__ = ["build_server", "refuse_all", "serve_stdio"]
