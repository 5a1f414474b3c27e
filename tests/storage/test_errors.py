"""The sentences of errors."""

import pytest

from storage.errors import WorkbenchError, system_reason


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("It failed: too long.. Shorten it.", "It failed: too long. Shorten it."),
        ("It failed: too long..", "It failed: too long."),
        ("Wait … or give ../up or '..' or a... b", "Wait … or give ../up or '..' or a... b"),
    ],
)
def test_a_quoted_full_stop_is_not_doubled(written: str, read: str) -> None:
    assert str(WorkbenchError(written)) == read


def test_what_the_system_says_comes_without_its_number() -> None:
    assert system_reason(FileNotFoundError(2, "No such file", "x")) == "no such file"
    assert system_reason(ValueError("embedded null byte")) == "embedded null byte"
