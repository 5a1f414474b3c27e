"""The programs of others that use this server: their configuration files, and what to check.

`client_files` knows where each client keeps its list of servers, `json_edits` changes a JSON file
with comments in place, `registration` adds and removes our entry, and `health` looks at all that
has to be there for a session to work.
"""
