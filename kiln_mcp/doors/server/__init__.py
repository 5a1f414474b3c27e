"""The MCP door: every capability as a tool, every job as a resource and a task, in both eras."""

from kiln_mcp.doors.server.door import ServerExtension, build_server
from kiln_mcp.doors.server.stdio import serve_stdio
from kiln_mcp.doors.server.unavailable import refuse_all

__all__ = ["ServerExtension", "build_server", "refuse_all", "serve_stdio"]
