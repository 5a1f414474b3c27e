"""The copilot: a conversation that reaches the workbench as an MCP client, like any other."""
