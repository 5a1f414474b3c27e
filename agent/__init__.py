"""The copilot: a conversation that reaches the workbench as an MCP client, like any other.

It asks its model through the workbench's own engine, under one budget for each chat. The response
cache therefore accounts for what a chat costs. Everything else it reaches over MCP.

Approval is the person's alone. A tool that only reads runs at once. A tool that writes is
announced. A tool that may spend or destroy needs the person's consent. A tool without annotations
is treated as one that may destroy. The workbench asks by elicitation; for a tool of another server
the copilot asks. Without a terminal nobody answers: `-p` approves the effects that `--approve`
names, and the person approves all else with `kiln-mcp approve`.

Tool results are fenced as data, and control characters are escaped. After a turn is cancelled the
conversation can continue. Chats are stored as JSON lines in the home, with secrets masked.
"""
