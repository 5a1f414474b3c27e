"""Sync with a shared git repository, for people who do not know git.

A merge is per record and per key, among git's own objects. Then the folder changes through the
store's transaction, then the branch moves; a kill between any two loses nothing. Deletions go file
by file, never by the folder. A conflict is kept as a question and blocks nothing else. A record
that one side deleted while the other changed anything in it stays whole, with one question about
its topmost record. Two repairs of one run are one question. A question's file is the same on every
machine that finds it.

Files that are no part of the project, such as `.env`, are never read or sent, and are named.
"""
