"""The copilot: a conversation that reaches the workbench as an MCP client, like any other.

Approval is the person's alone. A tool that only reads runs at once, one that writes is announced,
one that may spend or destroy needs the person. A tool without annotations counts as the worst. The
workbench asks by elicitation; for a tool of another server the copilot asks. Without a terminal
nobody answers, and the way on is `kiln-mcp approve`.

What tools return is fenced as data, and control characters are escaped. A stopped turn leaves a
conversation that can go on. Chats are JSON lines in the home, without keys.
"""
