"""The ways in: bridge, command line, daemon, MCP server."""
