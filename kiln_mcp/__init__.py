"""The MCP server and what it can do."""

__version__ = "0.1.0"
