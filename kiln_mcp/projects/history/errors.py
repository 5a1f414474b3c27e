"""Errors of history and trash."""

from storage.errors import WorkbenchError


class KindWithoutRecord(WorkbenchError):
    """A record is named without its kind, or a kind without a record."""

    def __init__(self) -> None:
        super().__init__(
            "Give both `kind` and `record` for one record, or neither for the whole project."
        )
