"""The process that reads records for the index; its parent is `record_reader`."""

import pickle
import sys
from typing import cast

from pydantic import JsonValue

from storage.child_process import open_replies, send_message
from storage.index.record_reader import read_values


def main() -> None:
    """Read the records that the input names, and write their values, until it ends."""
    replies = open_replies()
    while True:
        try:
            root, files = cast("tuple[str, list[tuple[str, str]]]", pickle.load(sys.stdin.buffer))
        except EOFError:
            return
        results = [read_values(root, path, kind) for path, kind in files]
        send_message(replies, cast("JsonValue", results))
