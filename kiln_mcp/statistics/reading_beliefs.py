"""Beliefs on how a person reads each clause, and what a question would tell.

The readings of a panel are the hypotheses. A person may read all clauses like one member of the
panel, or each in a way of its own; how far they do the former is learned from their answers.

This module imports numpy, which is slow. Import it where it is called.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kiln_mcp.statistics.question_value import QuestionValue
from kiln_mcp.statistics.reading_tables import ReadingTable, reading_table
from kiln_mcp.statistics.reading_verdicts import ReadingVerdicts
from kiln_mcp.statistics.verdict_tables import Floats

ANSWER_NOISE: Final = 0.05
"""How often a person's answer is not what their reading says."""
CONSISTENCIES: Final = (0.0, 0.5, 0.9)
"""How far a person may read all clauses like one member: the prior gives each the same chance."""
MOST_CANDIDATES: Final = 24
"""Questions whose value is worked out exactly, chosen by their value for their own clause."""
_LEAST_SPREAD: Final = 0.25
_LEAST_PROBABILITY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class ReadingBeliefs:
    """What is believed of a person's reading of each clause.

    Attributes:
        table: The panel's verdicts.
        passes: The probability that a reading passes an output, by clause, item and reading.
        log_likelihoods: Of the answers so far, by clause and reading.
        answers: The answers so far, by clause and item.
        answer_noise: How often an answer is not what the person's reading says.
    """

    table: ReadingTable
    passes: Floats
    log_likelihoods: Floats
    answers: dict[tuple[str, str], bool]
    answer_noise: float = ANSWER_NOISE

    def with_answer(self, clause: str, item: str, *, passes: bool) -> "ReadingBeliefs":
        """Return the beliefs after a person's answer about one output.

        Raises:
            ValueError: The panel judged no such output, or not by this clause.
        """
        place = self.table.clauses.index(clause)
        own = self.passes[place, self.table.items.index(item)]
        likelihoods = self.log_likelihoods.copy()
        likelihoods[place] += np.log(_answer(own if passes else 1 - own, self.answer_noise))
        answers = {**self.answers, (clause, item): passes}
        return replace(self, log_likelihoods=likelihoods, answers=answers)

    def weights(self) -> Floats:
        """Return the probability of each reading, by clause."""
        return _weights(self.log_likelihoods[None])[0]

    def pass_probabilities(self) -> Floats:
        """Return the probability that the person passes each output, by clause and item."""
        probabilities = np.einsum("ch,cih->ci", self.weights(), self.passes)
        return self._with_answers(probabilities[None])[0]

    def predictions(self) -> dict[tuple[str, str], bool]:
        """Return the more probable verdict of the person, by clause and item."""
        probabilities = self.pass_probabilities()
        return {
            (clause, item): bool(probabilities[c, i] >= 0.5)
            for c, clause in enumerate(self.table.clauses)
            for i, item in enumerate(self.table.items)
        }

    def best_question(self, clauses: Collection[str] | None = None) -> QuestionValue | None:
        """Return the question that reduces the entropy of the person's verdicts the most.

        Args:
            clauses: Which clauses may be asked about; None for all.

        Returns:
            None if no output splits the readings.
        """
        values = self.question_values(clauses)
        return max(values, key=lambda value: value.reduction, default=None)

    def question_values(self, clauses: Collection[str] | None = None) -> list[QuestionValue]:
        """Return the questions that may be the best ones, with their values."""
        weights = self.weights()
        candidates = self._candidates(weights, clauses)
        if not candidates:
            return []
        prior = self.pass_probabilities()
        entropy, decisions = _entropy(prior).sum(), prior >= 0.5
        values: list[QuestionValue] = []
        for clause, item in candidates:
            own = self.passes[clause, item]
            to_pass = float(weights[clause] @ _answer(own, self.answer_noise))
            after = np.stack(
                [
                    self.with_answer(
                        self.table.clauses[clause], self.table.items[item], passes=passes
                    ).pass_probabilities()
                    for passes in (True, False)
                ]
            )
            chances = np.array([to_pass, 1 - to_pass])
            changed = ((after >= 0.5) != decisions).any(axis=1).mean(axis=1)
            reduction = entropy - chances @ _entropy(after).sum(axis=(1, 2))
            values.append(
                QuestionValue(
                    clause=self.table.clauses[clause],
                    item=self.table.items[item],
                    reduction=max(0.0, float(reduction)) / len(self.table.items),
                    change=float(chances @ changed),
                    pass_probability=to_pass,
                    pass_reading=self._champion(weights[clause] * own),
                    fail_reading=self._champion(weights[clause] * (1 - own)),
                )
            )
        return values

    def _champion(self, weights: Floats) -> str:
        """Return the reading that weighs the most; the first of equal ones."""
        return self.table.readings[int(weights.argmax())]

    def _candidates(
        self, weights: Floats, clauses: Collection[str] | None
    ) -> list[tuple[int, int]]:
        """Return the questions with the greatest value for their own clause.

        Of outputs that split the readings alike, the first stands for all.
        """
        candidates_by_value: list[tuple[float, int, int]] = []
        for place, clause in enumerate(self.table.clauses):
            if clauses is not None and clause not in clauses:
                continue
            own = self.passes[place]
            spread = own.max(axis=1) - own.min(axis=1)
            is_open = np.array([(clause, item) not in self.answers for item in self.table.items])
            candidates = np.flatnonzero(is_open & (spread >= _LEAST_SPREAD))
            first: dict[bytes, int] = {}
            for n in candidates.tolist():
                first.setdefault((100 * own[n]).astype(np.int64).tobytes(), int(n))
            places = list(first.values())
            candidates_by_value += [
                (value, place, n)
                for n, value in zip(
                    places, self._own_values(weights[place], own, places), strict=True
                )
            ]
        candidates_by_value.sort(key=lambda entry: (-entry[0], entry[1:]))
        return [(place, item) for _, place, item in candidates_by_value[:MOST_CANDIDATES]]

    def _own_values(self, weights: Floats, own: Floats, places: list[int]) -> list[float]:
        """Return how far each answer reduces the entropy of its clause's verdicts."""
        likelihoods = np.stack([_answer(own[places], self.answer_noise)])
        likelihoods = np.concatenate([likelihoods, 1 - likelihoods])
        joint = likelihoods * weights
        chances = joint.sum(axis=2)
        after = (joint / np.maximum(chances[..., None], _LEAST_PROBABILITY)) @ own.T
        expected = (chances[..., None] * _entropy(after)).sum(axis=(0, 2))
        return (float(_entropy(own @ weights).sum()) - expected).tolist()

    def _with_answers(self, probabilities: Floats) -> Floats:
        """Put the person's own answers in the place of predictions."""
        for (clause, item), passes in self.answers.items():
            place = self.table.clauses.index(clause), self.table.items.index(item)
            probabilities[:, place[0], place[1]] = (
                1 - self.answer_noise if passes else self.answer_noise
            )
        return probabilities


def reading_beliefs(
    verdicts: ReadingVerdicts, answer_noise: float = ANSWER_NOISE
) -> ReadingBeliefs:
    """Return the beliefs before any answer: every reading of a clause is as probable.

    Raises:
        ValueError: There is no verdict, or the noise lies outside (0, 0.5).
    """
    if not 0 < answer_noise < 0.5:
        raise ValueError(f"The noise of answers lies strictly between 0 and 0.5: {answer_noise}.")
    table = reading_table(verdicts)
    shape = (len(table.clauses), len(table.readings))
    return ReadingBeliefs(table, table.pass_probabilities(), np.zeros(shape), {}, answer_noise)


def _answer(passes: Floats, noise: float) -> Floats:
    """Return the probability that the person says so, by reading."""
    return noise + (1 - 2 * noise) * passes


def _weights(log_likelihoods: Floats) -> Floats:
    """Return the probability of each reading, by table, clause and reading.

    The latent state is the member whom the person resembles, and how far. Given it, the clauses
    are independent.
    """
    count = log_likelihoods.shape[2]
    likelihoods = np.exp(log_likelihoods - log_likelihoods.max(axis=2, keepdims=True))
    usual = likelihoods.mean(axis=2)
    total = np.zeros_like(likelihoods)
    states = [
        (c, np.log(c * likelihoods + (1 - c) * usual[..., None]).sum(axis=1)) for c in CONSISTENCIES
    ]
    highest = np.max([logs.max(axis=1) for _, logs in states], axis=0)
    for consistency, logs in states:
        chances = np.exp(logs - highest[:, None])[:, None, :]
        evidence = consistency * likelihoods + (1 - consistency) * usual[..., None]
        alike = chances * consistency * likelihoods / evidence
        free = (chances * (1 - consistency) / evidence).sum(axis=2, keepdims=True)
        total += alike + free * likelihoods / count
    return total / total.sum(axis=2, keepdims=True)


def _entropy(probabilities: Floats) -> Floats:
    """Return the entropy of each verdict in bits."""
    p = np.clip(probabilities, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
