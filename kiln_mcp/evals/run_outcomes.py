"""What a run of an eval has done: verdicts, outputs, and failures with their reasons."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from kiln_mcp.evals.measurement import (
    STORED_OUTPUT,
    VerdictRequest,
    count_generations,
    count_verdicts,
)
from kiln_mcp.evaluators.evaluator import CANNOT_BE_JUDGED, Evaluation, Skipped
from kiln_mcp.llm import AnswerState
from kiln_mcp.llm.refusal_texts import looks_like_refusal
from kiln_mcp.run_configs.item_templates import Case


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be scored, and why.

    Attributes:
        item_id: The item.
        run_config: The run config's name.
        reason: The error's sentence.
        state: The state of the answer that could not be used; None if there was no answer.
    """

    item_id: str
    run_config: str
    reason: str
    state: AnswerState | None = None


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run of an eval did.

    Attributes:
        new_verdicts: Items that have a new verdict.
        existing: Items that had one already, or got one from another call meanwhile.
        new_outputs: Outputs that were made.
        skipped: Items that lack what the evaluator needs.
        failures: Items that could not be scored.
        abstentions: Items that the judge said cannot be judged.
        hidden_tokens: Output tokens of new outputs that their server did not list as output.
        judge_clients: What the clients call themselves whose models gave new verdicts.
        refusal_texts: Outputs that look like refusals in words, and are scored all the same.
        plain_verdicts: Verdicts that the judge's probabilities were to weigh, and could not.
    """

    new_verdicts: int
    existing: int
    new_outputs: int
    skipped: int
    failures: tuple[Failure, ...]
    abstentions: int = 0
    hidden_tokens: int = 0
    judge_clients: tuple[str, ...] = ()
    refusal_texts: int = 0
    plain_verdicts: int = 0

    @property
    def has_verdict(self) -> bool:
        """Whether there is any new verdict, be it a score or the reason why there is none."""
        return bool(self.new_verdicts or self.skipped or self.abstentions)

    @property
    def failures_by_state(self) -> Mapping[AnswerState, int]:
        """The failures because of an answer that could not be used, by its state."""
        return Counter(failure.state for failure in self.failures if failure.state is not None)


@dataclass(slots=True)
class Tally:
    """What is done by now. Outputs and verdicts count where a model is asked, each by itself.

    `has_read_value` says whether the evaluator found a value in any output.
    """

    total: int
    is_judged_by_model: bool
    existing: int = 0
    done: int = 0
    new_verdicts: int = 0
    new_outputs: int = 0
    skipped: int = 0
    abstentions: int = 0
    hidden_tokens: int = 0
    refusal_texts: int = 0
    plain_verdicts: int = 0
    has_read_value: bool = False
    judge_clients: set[str] = field(default_factory=set[str])
    failures: list[Failure] = field(default_factory=list[Failure])

    @staticmethod
    def sum_of(tallies: Sequence["Tally"]) -> "Tally":
        """Return what several evaluators have done together."""
        return Tally(
            total=sum(tally.total for tally in tallies),
            is_judged_by_model=any(tally.is_judged_by_model for tally in tallies),
            done=sum(tally.done for tally in tallies),
            new_verdicts=sum(tally.new_verdicts for tally in tallies),
            new_outputs=sum(tally.new_outputs for tally in tallies),
            skipped=sum(tally.skipped for tally in tallies),
            abstentions=sum(tally.abstentions for tally in tallies),
            failures=[failure for tally in tallies for failure in tally.failures],
        )

    def take_unusable(self, item_id: str, state: str) -> None:
        """Count a stored answer that is not scored, because it is not complete."""
        self.done += 1
        reason = f"Its stored answer is {state}, so it is not scored."
        states: Mapping[str, AnswerState] = {name: name for name in get_args(AnswerState)}
        self.failures.append(Failure(item_id, STORED_OUTPUT, reason, states.get(state)))

    def take_output(self, hidden_tokens: int) -> None:
        """Count a new output."""
        self.new_outputs += 1
        self.hidden_tokens += hidden_tokens
        self.done += self.is_judged_by_model

    def take_shared_output(self) -> None:
        """Count the wait for a new output that another evaluator's tally counts."""
        self.done += self.is_judged_by_model

    def note_output(self, case: Case) -> None:
        """Count an output that looks like a refusal where the item's reference does not."""
        right_texts = [str(value) for value in (case.reference or {}).values()]
        self.refusal_texts += looks_like_refusal(case.final_message) and not any(
            map(looks_like_refusal, right_texts)
        )

    def take_verdict(self, verdict: Evaluation | Skipped) -> None:
        """Count a new verdict."""
        self.done += 1
        if isinstance(verdict, Skipped) and verdict.reason == CANNOT_BE_JUDGED:
            self.abstentions += 1
        elif isinstance(verdict, Skipped):
            self.skipped += 1
        else:
            self.new_verdicts += 1
            self.plain_verdicts += verdict.is_plain
            self.judge_clients |= {verdict.judge_client} - {""}

    def take_results_of_others(
        self, requests: Sequence[VerdictRequest], remaining_requests: Sequence[VerdictRequest]
    ) -> None:
        """Count what others have done of some requests since these were planned."""
        outputs = count_generations(requests) - count_generations(remaining_requests)
        verdicts = count_verdicts(requests) - count_verdicts(remaining_requests)
        self.existing += verdicts
        self.done += verdicts + outputs * self.is_judged_by_model

    @property
    def says(self) -> str:
        """What is done, in words."""
        counts = {
            "outputs made": self.new_outputs if self.is_judged_by_model else 0,
            "scored": self.new_verdicts,
            "skipped": self.skipped,
            "not judged": self.abstentions,
            "failed": len(self.failures),
        }
        return ", ".join(f"{count} {noun}" for noun, count in counts.items() if count)

    def says_of_others(self, items: int) -> str:
        """What is waited for, in words."""
        sentence = f"Another call or program scores {items} of the items: waiting for its results."
        return f"{self.says}. {sentence}" if self.says else sentence

    def outcome(self) -> RunOutcome:
        """Return what was done in all."""
        return RunOutcome(
            new_verdicts=self.new_verdicts,
            existing=self.existing,
            new_outputs=self.new_outputs,
            skipped=self.skipped,
            failures=tuple(self.failures),
            abstentions=self.abstentions,
            hidden_tokens=self.hidden_tokens,
            judge_clients=tuple(sorted(self.judge_clients)),
            refusal_texts=self.refusal_texts,
            plain_verdicts=self.plain_verdicts,
        )
