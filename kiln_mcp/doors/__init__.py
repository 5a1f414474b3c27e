"""The ways in: bridge, command line, daemon, MCP server.

The daemon (`kiln-mcp serve`) owns a home. It serves MCP at /mcp on a Unix socket and on 127.0.0.1,
behind a token in `daemon.json`. It runs in the home, so no client's folder influences it. It ends
when it is idle and no job is left. Its umask stays the person's, because several people of one
machine may share a project; files of the home are narrowed one by one.

A command that asks models for long hands the work to the daemon as a job and waits
(`cli/handover.py`). So limits hold for the whole home, and equal questions of two commands are paid
once. Ctrl-C pauses such a job. A command that reads a project asks a daemon that runs, because that
has imported everything. All other commands run in their own process (`cli/local_call.py`), and so
does a call that the daemon refuses. Without a daemon the command does the work itself.

A relative path means the folder that a process was started in. The daemon serves clients of several
folders, so it refuses relative paths.
"""
