"""Git, called with settings that run no foreign program.

- Settings of a folder's `.git` that could run programs are refused.
- Shared files that could leave the folder are refused.
- No filter of the person's own settings runs for the attributes of a folder.
"""
