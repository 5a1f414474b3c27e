"""The uses of a test part: which claims were made on it, counted and stored beside the eval.

A person who looks at the same items often enough finds a difference by luck. So the k-th claim on
them is made at 5 % / (k(k+1)). The same question on the same data is no new use, and items that no
earlier claim saw are fresh.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from kiln_mcp.evals.line_files import Line, append, read_lines
from kiln_mcp.statistics import level_of_use
from storage import Eval, ProjectStore
from storage.errors import StorageError

USES: Final = "kiln_mcp_test_uses.jsonl"
_SAMPLE: Final = 16
"""Items by which a later claim knows that it is made on the same part."""
_ORDINALS: Final[Mapping[int, str]] = {1: "st", 2: "nd", 3: "rd"}
_TEEN_TENS: Final = 1


class PartUse(Line):
    """A claim that was made on a test part.

    Attributes:
        question: What was asked: evaluator, run configs, baseline.
        data: The fingerprint of the scores that answered it.
        evaluator: The evaluator's id.
        run_configs: The ids of the run configs.
        sample: Some of the items, always the same ones of the same part.
    """

    question: str
    data: str
    evaluator: str = ""
    run_configs: tuple[str, ...] = ()
    sample: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartClaim:
    """A claim that is about to be made.

    Attributes:
        evaluator: The evaluator's id.
        run_configs: The ids of the run configs that are compared.
        baseline: The id of the one that the others are compared with.
        scores: By run config and score: the score of each item.
        items: The items of the part.
    """

    evaluator: str
    run_configs: Sequence[str]
    baseline: str
    scores: Mapping[tuple[str, str], Mapping[str, float]]
    items: Iterable[str]

    @property
    def question(self) -> str:
        """Return what is asked, the same for the same run configs in another order."""
        configs = sorted(self.run_configs)
        baseline = self.baseline if len(configs) > 2 else ""
        return _digest([self.evaluator, configs, baseline])

    @property
    def data(self) -> str:
        """Return the fingerprint of the scores."""
        rows = [
            [*key, sorted(by_item.items())]
            for key, by_item in sorted(self.scores.items())
            if key[0] in self.run_configs
        ]
        return _digest(rows)

    def line(self, by: str) -> PartUse:
        """Return the line that records this claim."""
        return PartUse(
            by=by,
            question=self.question,
            data=self.data,
            evaluator=self.evaluator,
            run_configs=tuple(self.run_configs),
            sample=tuple(sorted(self.items, key=_digest)[:_SAMPLE]),
        )


@dataclass(frozen=True, slots=True)
class UseNumber:
    """Which claim on a test part one is.

    Attributes:
        number: 1 for the first.
        problem: Why it could not be stored, as a sentence; "" if it is.
    """

    number: int
    problem: str = ""

    @property
    def error(self) -> float:
        """Return the error at which the claim is made."""
        return level_of_use(self.number)

    @property
    def says(self) -> str:
        """Return what a person should know of it."""
        return f"{ordinal(self.number)} use of this test part, tested at {percent(self.error)}."


async def count_use(store: ProjectStore, eval_record: Eval, claim: PartClaim, by: str) -> UseNumber:
    """Return which claim on its test part one is, and store it if it is new.

    A project that cannot be written is no reason to refuse the claim; the answer says so.
    """
    line, items, number = claim.line(by), frozenset(claim.items), 1
    try:
        uses = await read_lines(store, eval_record, USES, PartUse)
        earlier = number_of(line, uses, items)
        if earlier is not None:
            return UseNumber(earlier)
        number = len(_questions(uses, items)) + 1
        async with store.transaction() as change:
            append(change, eval_record, USES, [line])
    except StorageError as error:
        return UseNumber(number, f"This use could not be counted for later ones: {error}")
    return UseNumber(number)


async def next_use(store: ProjectStore, eval_record: Eval, items: Iterable[str]) -> int:
    """Return which claim on a test part the next new one will be."""
    uses = await read_lines(store, eval_record, USES, PartUse)
    return len(_questions(uses, frozenset(items))) + 1


def number_of(line: PartUse, uses: Sequence[PartUse], items: frozenset[str]) -> int | None:
    """Return which of the earlier claims on the same items asks the same; None if none does."""
    questions = _questions(uses, items)
    key = line.question, line.data
    return questions.index(key) + 1 if key in questions else None


def ordinal(number: int) -> str:
    """Return a number as a rank: 1st, 2nd, 3rd, 4th."""
    tens, last_digit = divmod(number % 100, 10)
    suffix = "th" if tens == _TEEN_TENS else _ORDINALS.get(last_digit, "th")
    return f"{number}{suffix}"


def percent(share: float) -> str:
    """Return a small share in percent with two digits that count, such as "0.42 %"."""
    return f"{share * 100:.2g} %"


def _questions(uses: Sequence[PartUse], items: frozenset[str]) -> list[tuple[str, str]]:
    """Return the different claims on a part, the oldest first; those on other items are none."""
    return list(
        dict.fromkeys((use.question, use.data) for use in uses if not items.isdisjoint(use.sample))
    )


def _digest(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).hexdigest()
