"""The command line: every capability as a command, and what starts and sets up the rest."""

from kiln_mcp.doors.cli.program import cli, main, serve_over_stdio

__all__ = ["cli", "main", "serve_over_stdio"]
