"""The copilot: a conversation that reaches the workbench as an MCP client, like any other.

It asks its model through the workbench's own engine, under one budget for each chat. The response
cache therefore accounts for what a chat costs. Everything else it reaches over MCP.

A conversation is a stream of typed events (`events.py`), which a front renders. Jobs go on while
the talk goes on, and their ends are told to the model.

Approval is the person's alone, given to a question or beforehand as a mode with limits. A tool that
only reads runs at once. A tool that writes is announced. A tool that may spend or destroy needs the
person's consent. A tool without annotations is treated as one that may destroy. The workbench asks
by elicitation; for a tool of another server the copilot asks. Each answer is kept in the chat.
Without a terminal nobody answers: `-p` approves the effects that `--approve`
names, and the person approves all else with `kiln-mcp approve`.

Tool results are fenced as data, and control characters are escaped. After a turn is cancelled the
conversation can continue. Chats are stored as JSON lines in the home, with secrets masked.
"""
