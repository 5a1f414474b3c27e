"""The MCP server and what it can do."""
