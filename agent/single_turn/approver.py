"""Who answers questions where no person can: the effects that the command line approves."""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.events import ApprovalAsked, FormAsked, Reply
from agent.forms import FormReply


@dataclass(slots=True)
class ListedEffects:
    """Approves plans whose effects are listed, up to a cost; all others wait for a person.

    Attributes:
        effects: The approved effects.
        limit_usd: The most that the turn may cost, what it asked models included; None for no
            limit. A plan whose cost is not known does not fit a limit.
        spent_usd: Returns what the turn's own model calls have cost.
        unapproved_plans: The questions that were not approved.
        by: How the record names it.
    """

    effects: frozenset[str]
    limit_usd: float | None = None
    spent_usd: Callable[[], float] = lambda: 0.0
    unapproved_plans: list[ApprovalAsked] = field(default_factory=list[ApprovalAsked])
    by: str = "the option --approve of this command, not by a person"
    _approved_usd: float = 0.0

    async def decide(self, question: ApprovalAsked) -> Reply:
        """Answer a question."""
        if question.effects and self.effects.issuperset(question.effects) and self._fits(question):
            self._approved_usd += question.cost_usd or 0.0
            return "accept"
        self.unapproved_plans.append(question)
        return "decline"

    async def fill(self, form: FormAsked) -> FormReply:
        """Decline a form: its answers are a person's, and none is there."""
        del form  # whatever it asks
        return FormReply("decline", {})

    def _fits(self, question: ApprovalAsked) -> bool:
        if self.limit_usd is None:
            return True
        if question.cost_usd is None:
            return False
        return self.spent_usd() + self._approved_usd + question.cost_usd <= self.limit_usd
