"""The names and short helps of all commands, to list them without their rooms.

Generated, and compared with the catalogue by a test. To write it again:

    python tests/kiln_mcp/doors/cli/test_command_table.py
"""

from collections.abc import Mapping
from typing import Final

# ruff: noqa: E501

OTHERS: Final[Mapping[str, str]] = {
    "allow": "Show or set the daily allowance: what may be spent without a question to you.",
    "approve": "Approve or decline the requests that wait for you: all of them, or the given IDs.",
    "demo": "Take a one-line wish to a measured, better prompt with the embedded model.",
    "doctor": "Look at all that a session needs, and say what is wrong and what to do.",
    "install": "Register this server in a client's list of MCP servers, and check that it answers.",
    "models": "Manage models.",
    "projects": "List the opened projects, and assign a name to one of them.",
    "serve": "Serve MCP over HTTP at /mcp and run jobs: the daemon that clients share.",
    "skills": "Write the workflows as skills into a folder, such as ~/.claude/skills.",
    "trust": "Let a project run its own programs: code evaluators, tool servers.",
    "uninstall": "Remove this server from a client's list of MCP servers; nothing else changes there.",
    "worker": "Run jobs from a shared Postgres database until stopped; start any number of workers.",
}
"""Commands for setup and service, with their first paragraph."""

CAPABILITIES: Final[Mapping[str, str]] = {
    "create-project": "Create a project.",
    "create-task": "Create a task.",
    "change-task": "Change a task.",
    "describe-project": "Describe a project.",
    "find-runs": "Find runs.",
    "read-run": "Read a run.",
    "rate-run": "Rate a run.",
    "tag-runs": "Tag runs.",
    "repair-run": "Repair a run.",
    "find-records": "Find records.",
    "read-record": "Read a record.",
    "export-runs": "Export runs.",
    "import-project": "Import a project.",
    "export-project": "Export a project.",
    "delete-records": "Delete records.",
    "list-trash": "List the trash.",
    "put-back": "Put back from the trash.",
    "empty-trash": "Empty the trash.",
    "share-project": "Share a project.",
    "sync-project": "Sync a project.",
    "decide-conflict": "Decide a conflict.",
    "settle-copy": "Settle a conflict copy.",
    "show-history": "Show the history.",
    "undo-change": "Undo a change.",
    "draft-spec": "Draft a spec.",
    "find-spec-gaps": "Find a spec's gaps.",
    "refine-spec": "Refine a spec.",
    "add-data": "Add data.",
    "generate-data": "Generate data.",
    "split-data": "Split the data.",
    "create-run-config": "Create a run config.",
    "create-evaluator": "Create an evaluator.",
    "run-eval": "Run an eval.",
    "compare-run-configs": "Compare two run configs.",
    "describe-eval": "Describe evals.",
    "next-items-to-label": "Choose items to label.",
    "label-items": "Label items.",
    "measure-agreement": "Measure a judge against people's labels.",
    "evolve-prompt": "Search for a better prompt.",
    "wait-for-job": "Wait for a job.",
    "cancel-job": "Cancel or pause a job.",
    "resume-job": "Go on with a job.",
    "list-jobs": "List jobs.",
    "list-models": "List models.",
    "test-model": "Test a model.",
    "answer-work-orders": "Answer work orders.",
    "freeze-split": "Freeze a split.",
    "export-training-data": "Export training data.",
}
"""Our own capabilities, in the catalogue's order."""
