"""The slash commands: each calls a tool of the workbench, or begins a guided flow."""
