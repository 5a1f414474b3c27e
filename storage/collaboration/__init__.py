"""Sync with a shared git repository, for people who do not know git.

1. The merge is per record and per key, and writes only git's own objects.
2. The folder changes through the store's transaction, file by file.
3. The branch moves. A kill between any two steps loses nothing.

A conflict waits in a file of its own and blocks nothing else. The file is the same on every
machine that detects the conflict. A record that one side deleted while the other changed anything
in it stays whole, with one conflict about its topmost record. Two repairs of one run are one
conflict.

Files that are no part of the project, such as `.env`, are never read or sent. The report names
them.
"""
