"""Rows in YAML, such as the tests of promptfoo: a list, or documents that are rows or hold some."""

from collections.abc import Iterator
from datetime import date
from math import isfinite
from typing import IO, TYPE_CHECKING, Final, cast

from storage.exchange.columns import Row
from storage.exchange.limits import DEEPEST
from storage.exchange.refusals import unusable_table

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST: Final = 32 << 20
"""Bytes of a file; YAML is read at about one MiB a second."""
_MOST_VALUES: Final = 5_000_000
"""Values after aliases are followed, of which a few can stand for more than any memory holds."""


def yaml_rows(file: IO[bytes]) -> Iterator[tuple[int, Row | str]]:
    """Return each row with its number, or what is wrong with it.

    Args:
        file: YAML in UTF-8 or UTF-16.

    Raises:
        Refusal: It is no YAML, or larger than is read.
    """
    import yaml  # imported here: most processes read no YAML

    file.seek(0)
    content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise unusable_table(f"a file of YAML has more than {_LARGEST:,} bytes; save it as JSON")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = list(cast("Iterator[object]", yaml.load_all(content, loader)))
        plain_documents = [_Plain().value(document) for document in documents]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise unusable_table(f"it is no YAML that can be read ({_one_line(error)})") from error
    number = 0
    for document in plain_documents:
        for entry in cast("list[object]", document) if isinstance(document, list) else [document]:
            number += 1
            is_row = isinstance(entry, dict)
            yield number, cast("Row", entry) if is_row else "it is no object"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Plain:
    """Makes JSON values of YAML's, and counts them."""

    def __init__(self) -> None:
        self._count = 0

    def value(self, value: object, levels: int = DEEPEST) -> object:
        """Return a value as JSON has it.

        Raises:
            ValueError: It is nested too deep, or too much.
        """
        self._count += 1
        if self._count > _MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {_MOST_VALUES:,} values")
        if levels < 0:
            raise ValueError("it is nested too deep")
        if isinstance(value, dict):
            members = cast("Mapping[object, object]", value)
            return {str(key): self.value(member, levels - 1) for key, member in members.items()}
        if isinstance(value, list | tuple | set):
            entries = cast("list[object]", value)
            return [self.value(entry, levels - 1) for entry in entries]
        if isinstance(value, date):
            return value.isoformat()
        if value is None or isinstance(value, bool | int | str):
            return value
        return value if isinstance(value, float) and isfinite(value) else str(value)
