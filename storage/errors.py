"""Errors of the store.

WorkbenchError                 the root: its text is one sentence for the reader
└── StorageError               something about the project on disk
"""


class WorkbenchError(Exception):
    """The root of every error whose text is meant for the person or model that reads it.

    The text is one or two sentences: what happened, the valid values where there are any, and
    the next step. Every door shows it as it is.
    """


class StorageError(WorkbenchError):
    """Something about the project on disk is not as it must be."""
