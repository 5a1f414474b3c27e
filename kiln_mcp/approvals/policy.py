"""The person's policy: a daily allowance, and the consequences that are always asked about.

The policy is one file of the home. Only the command line writes it, on a terminal; no capability
can. A file that cannot be read or that holds something else counts as the strictest policy.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiln_mcp.approvals.plan import Consequence, Effect, Plan
from storage.atomic_write import move_into_place, write_aside
from storage.errors import system_reason

ALWAYS_ASKED: Final = frozenset(
    {Consequence.DESTROYS, Consequence.SENDS, Consequence.CERTIFIES, Consequence.EXECUTES}
)
"""Consequences that every policy asks about."""
_SPENDS_ONLY: Final = frozenset({Consequence.SPENDS})
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class DailyAllowance:
    """What may be spent in a local day without a question; an allowance needs both.

    Attributes:
        usd: US dollars.
        calls: Model calls.
    """

    usd: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of a home; a plan that destroys or sends data is always asked about.

    Attributes:
        daily_allowance: What may be spent without a question.
        never_without_me: Consequences that are asked about even within the allowance.
        damage: The reason why the strictest policy replaces the file, as a sentence; else empty.
    """

    daily_allowance: DailyAllowance = DailyAllowance()
    never_without_me: frozenset[Consequence] = ALWAYS_ASKED
    damage: str = ""

    def asks_about(self, plan: Plan, effect: Effect) -> bool:
        """Return whether a person, or their allowance, must agree before a call is carried out.

        Args:
            plan: The plan of the call.
            effect: The capability's own effect.
        """
        return plan.needs_approval or self._asks_about_writes(effect)

    def allows(self, plan: Plan, effect: Effect) -> bool:
        """Return whether the allowance may answer for the person, if enough of it is left.

        A plan that also destroys or sends data is asked about, and so is one whose price is not
        known.
        """
        spends_only = plan.consequences == _SPENDS_ONLY
        is_excluded = Consequence.SPENDS in self.never_without_me or self._asks_about_writes(effect)
        return spends_only and not is_excluded and plan.highest_cost_usd is not None

    def _asks_about_writes(self, effect: Effect) -> bool:
        return effect is not Effect.READS and Consequence.WRITES in self.never_without_me


STRICTEST: Final = Policy(never_without_me=frozenset(Consequence))


class _StoredPolicy(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    daily_allowance_usd: Dollars = 0.0
    daily_allowance_calls: Annotated[int, Field(ge=0, strict=True)] = 0
    never_without_me: frozenset[Consequence] = ALWAYS_ASKED


def policy_file(home: Path) -> Path:
    """Return the policy file of a home."""
    return home / "policy.json"


def read_policy(home: Path) -> Policy:
    """Read the policy of a home; the default if there is none, the strictest if it is damaged."""
    file = policy_file(home)
    try:
        if os.name == "posix" and file.stat().st_mode & _OTHERS_MAY_WRITE:
            return _strictest(file, "others may write it")
        content = _StoredPolicy.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        return _strictest(file, system_reason(error))
    except ValidationError as error:
        place = ".".join(str(step) for step in error.errors()[0]["loc"])
        fault = error.errors()[0]["msg"]
        return _strictest(file, f"{place}: {fault}" if place else fault)
    return Policy(
        DailyAllowance(content.daily_allowance_usd, content.daily_allowance_calls),
        content.never_without_me | ALWAYS_ASKED,
    )


def write_policy(home: Path, policy: Policy) -> None:
    """Write the policy of a home, for its owner alone.

    Raises:
        WriteError: The disk refused; the former policy holds.
    """
    content = _StoredPolicy(
        daily_allowance_usd=policy.daily_allowance.usd,
        daily_allowance_calls=policy.daily_allowance.calls,
        never_without_me=policy.never_without_me | ALWAYS_ASKED,
    )
    file = policy_file(home)
    fresh = write_aside(file, content.model_dump_json(indent=2).encode() + b"\n")
    fresh.chmod(0o600)
    move_into_place(fresh, file)


def _strictest(file: Path, reason: str) -> Policy:
    sentence = (
        f"The policy {file} cannot be used ({reason}), so every change is asked about and nothing "
        "is allowed beforehand. Set it again with kiln-mcp allow."
    )
    return Policy(never_without_me=STRICTEST.never_without_me, damage=sentence)
