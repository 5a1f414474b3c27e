"""Programs under test: commands, HTTP endpoints, Python functions and MCP tools as run configs.

A program is a model of the engine (`Model`), so its answers are cached by sample, limited, budgeted
and shared like those of models. Its definition lies in a side file beside the run config, whose
model name holds the file's digest. Nothing runs before `readiness.ready_programs` has asked whether
the person trusts the project's folder.
"""
