"""Git, called with settings that run no foreign program.

Settings of a folder's `.git` that could run programs are refused, and so are shared files that
could leave the folder. No filter of the person's own settings runs for a folder's attributes.
"""
