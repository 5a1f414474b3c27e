"""The variables that clients lend to the daemon's environment.

The variables of a provider form a group. A key of one client is never used with the address of
another. A loan with a key therefore replaces the whole group, and a loan without a key does not
change a group that has one.
"""

import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kiln_mcp.doors.border.provider_variables import GROUPS, lendable, variables_of_servers

MOST_NAMES: Final = 10
_LINE_BREAK: Final = re.compile(r"[\r\n]")
_SECRET: Final = re.compile(
    r"(KEY|KEY_ID|TOKEN|SECRET|PASSWORD|CREDENTIALS|JWT|PROFILE|ROLE_ARN|TOKEN_FILE|_URI)$"
)


def changes_by_loan(
    loan: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str | None]:
    """Return the changes that a loan makes in an environment; None removes a variable.

    Args:
        loan: The lendable variables of a client.
        environment: The daemon's current environment.
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
    """Return whether a value fits in a header or an address; credentials may be JSON or PEM."""
    if "\0" in value:
        return False
    is_document = bool(_SECRET.search(name)) and value.lstrip().startswith(("{", "-----BEGIN"))
    return is_document or not _LINE_BREAK.search(value.strip())


class LendingError(ValueError):
    """A loan cannot be taken; nothing was changed."""


def _unlendable(names: Sequence[str]) -> LendingError:
    listing = ", ".join(name[:64] for name in names[:MOST_NAMES])
    rest = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return LendingError(
        f"These variables may not be lent: {listing}{rest}. Only those of model providers may, "
        "and those that 'key_variable' in servers.json names. Nothing was taken."
    )


def _unusable_value(name: str) -> LendingError:
    return LendingError(
        f"The value of {name[:64]} holds a line break or NUL. Send it in one line without them. "
        "Nothing was taken."
    )


@dataclass(frozen=True, slots=True)
class LentVariables:
    """The environment that clients lend their variables to.

    Attributes:
        environment: The daemon's environment; each loan changes it.
        server_file: The person's own servers; None for none.
    """

    environment: MutableMapping[str, str] = field(repr=False)
    server_file: Path | None = None

    def take(self, loan: Mapping[str, str]) -> None:
        """Take over a client's variables, all or none.

        Raises:
            LendingError: A variable may not be lent, or a value holds NUL or line breaks.
        """
        server_variables = (
            variables_of_servers(self.server_file) if self.server_file else frozenset[str]()
        )
        names = sorted(loan.keys() - lendable(loan, server_variables).keys())
        if names:
            raise _unlendable(names)
        for name, value in loan.items():
            if not _is_one_value(name, value):
                raise _unusable_value(name)
        for name, value in changes_by_loan(loan, self.environment).items():
            if value is None:
                del self.environment[name]
            else:
                self.environment[name] = value
