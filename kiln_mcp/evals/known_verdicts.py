"""Find the verdicts whose answers the response cache holds, many with one question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evals.output_work import OutputWork
from kiln_mcp.evals.request_records import EarlierOutput
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    Evaluator,
    KnowsVerdicts,
    Skipped,
)
from kiln_mcp.llm.errors import ModelError
from storage.records.run import COMPLETE

PROBED: Final = 8
"""Outputs that are looked up first; if none of them is known, the others are not looked up."""

Verdicts = Mapping[int, Evaluation | Skipped]
"""By the number of the evaluator."""


@dataclass(frozen=True, slots=True)
class VerdictFinder:
    """Finds outputs whose verdicts need no call of a model.

    Attributes:
        work: The outputs with their requests.
        evaluators: Each evaluator and where it works; requests name them by their number.
    """

    work: Sequence[OutputWork]
    evaluators: Sequence[tuple[Evaluator, EvaluationContext]]

    async def find(self, outputs: Mapping[int, EarlierOutput]) -> dict[int, Verdicts]:
        """Return the verdicts of the outputs of which all evaluators know theirs.

        Args:
            outputs: Outputs that were made before, by the number of their work.
        """
        numbers = [number for number, output in outputs.items() if self._is_plain(number, output)]
        verdicts = await self._find_all(outputs, numbers[:PROBED])
        if verdicts:
            verdicts |= await self._find_all(outputs, numbers[PROBED:])
        return verdicts

    def _is_plain(self, number: int, output: EarlierOutput) -> bool:
        """Return whether an output can be scored, once by each of evaluators that ask models."""
        requests = self.work[number].requests
        return output.run.answer_state == COMPLETE and all(
            request.verdicts == (0,) and isinstance(self.evaluators[key][0], KnowsVerdicts)
            for key, request in requests.items()
        )

    async def _find_all(
        self, outputs: Mapping[int, EarlierOutput], numbers: Sequence[int]
    ) -> dict[int, Verdicts]:
        verdicts: dict[int, dict[int, Evaluation | Skipped]] = {number: {} for number in numbers}
        for key, (evaluator, context) in enumerate(self.evaluators):
            own = [number for number in numbers if key in self.work[number].requests]
            if not own or not isinstance(evaluator, KnowsVerdicts):
                continue
            cases = [outputs[number].case for number in own]
            try:
                answers = await evaluator.known_verdicts(cases, context)
            except ModelError:  # `evaluate` says so of each output
                return {}
            for number, verdict in zip(own, answers, strict=True):
                if verdict is not None:
                    verdicts[number][key] = verdict
        return {
            number: by_evaluator
            for number, by_evaluator in verdicts.items()
            if by_evaluator.keys() == self.work[number].requests.keys()
        }
