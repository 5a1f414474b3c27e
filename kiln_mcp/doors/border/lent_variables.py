"""What a client's lending changes in the daemon's environment.

A provider's variables go together. A key of one client is never used with the address of another:
who lends a key sets the whole group, and who has no key changes nothing of a group that has one.
"""

import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kiln_mcp.doors.border.provider_variables import GROUPS, lendable, variables_of_servers

MOST_NAMED: Final = 10
_BREAK: Final = re.compile(r"[\r\n]")
_SECRET: Final = re.compile(
    r"(KEY|KEY_ID|TOKEN|SECRET|PASSWORD|CREDENTIALS|JWT|PROFILE|ROLE_ARN|TOKEN_FILE|_URI)$"
)


def changes_by_lending(
    loan: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str | None]:
    """Return what a lending changes in the daemon's environment; None for a variable to remove.

    Args:
        lent: What a client lends, all of it lendable.
        environment: The daemon's, as it is.
    """
    changes: dict[str, str | None] = {n: v for n, v in loan.items() if n not in GROUPS}
    for provider in dict.fromkeys(GROUPS[name] for name in loan if name in GROUPS):
        group = [name for name, owner in GROUPS.items() if owner == provider]
        if _has_secret(group, loan) or not _has_secret(group, environment):
            changes.update({n: loan.get(n) for n in group if n in loan or n in environment})
    return changes


def _has_secret(group: Iterable[str], variables: Mapping[str, str]) -> bool:
    return any(variables.get(name) and _SECRET.search(name) for name in group)


def _is_one_value(name: str, value: str) -> bool:
    """Whether it can stand in a header or an address; credentials may be JSON or PEM in lines."""
    if "\0" in value:
        return False
    is_document = bool(_SECRET.search(name)) and value.lstrip().startswith(("{", "-----BEGIN"))
    return is_document or not _BREAK.search(value.strip())


class LendingError(ValueError):
    """A client lends what it may not."""

    def __init__(self, names: Sequence[str]) -> None:
        listing = ", ".join(name[:64] for name in names[:MOST_NAMED])
        rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        super().__init__(
            f"These variables may not be lent: {listing}{rest}. Only those of model providers may, "
            "and those that 'key_variable' in servers.json names. Nothing was taken."
        )


class LendingError(ValueError):
    """A client lends a value that would not stay one value."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The value of {name[:64]} holds a line break or NUL. Send it in one line without "
            "them. Nothing was taken."
        )


@dataclass(frozen=True, slots=True)
class LentVariables:
    """The environment that clients lend their variables to.

    Attributes:
        environment: It changes with each lending.
        server_file: The person's own servers; None for none.
    """

    environment: MutableMapping[str, str] = field(repr=False)
    server_file: Path | None = None

    def take(self, loan: Mapping[str, str]) -> None:
        """Take over what a client lends, all or nothing.

        Raises:
            LendingError: One of the variables may not be lent.
            LendingError: A value holds NUL, or line breaks where there are none.
        """
        server_variables = (
            variables_of_servers(self.server_file) if self.server_file else frozenset[str]()
        )
        refused = sorted(loan.keys() - lendable(loan, server_variables).keys())
        if refused:
            raise LendingError(refused)
        for name, value in loan.items():
            if not _is_one_value(name, value):
                raise LendingError(name)
        for name, value in changes_by_lending(loan, self.environment).items():
            if value is None:
                del self.environment[name]
            else:
                self.environment[name] = value
