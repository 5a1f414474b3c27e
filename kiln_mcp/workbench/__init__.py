"""What a capability works with: the mechanism, the workspace, progress, prompts, trust.

A project is data until its person trusts its folder. Code that would run a program of a project
calls `workspace.trust.require_trust(folder, program)` first. `trusted.json` in the home is
written by `kiln-mcp trust` in a terminal alone. Trust belongs to the path, the project's id, and
the folder's inode with its time of creation, so a folder put in its place is foreign again. File
systems without a time of creation hide a copy with the same inode.

`known_projects` resolves a reference to a project. A path from the root, `~`, `.` or `..` always
means that path. A name that two existing projects bear means neither: the error names both folders.

`Workspace.check_ready` refuses before models are asked if the disk has no room for the answers.
`Workspace.id_for` derives the ids of a job's new records from the job. An attempt after a kill
therefore finds what an earlier one saved.
"""
