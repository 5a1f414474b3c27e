"""The command line: every capability as a command, and commands for setup and service."""

from kiln_mcp.doors.cli.program import cli, main, serve_over_stdio

__all__ = ["cli", "main", "serve_over_stdio"]
