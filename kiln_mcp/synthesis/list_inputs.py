"""Inputs by a model that follows no instructions: it goes on with a list of the user's own ones.

A line begins with the first part of an example, whose times, days and numbers are exchanged for
those of other examples. Without a beginning a small model leaves the matter after a few words.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final

from kiln_mcp.datasets.text_details import details_of, missing_details, usual_details
from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.synthesis.coverage_plan import Slot
from kiln_mcp.synthesis.inputs import Brief, Proposal

EXAMPLES_SHOWN: Final = 4
"""The fewest entries that the list may start with."""
_LONGEST_LIST: Final = 12
_BEGINNING: Final = (0.4, 0.8)
"""The least and the largest share of an example's words that a line begins with."""
_TEMPERATURE: Final = 0.8
_CONTINUATION_TOKENS: Final = 64


class ListMaker:
    """Lets a model that follows no instructions go on with a list of examples.

    The list of a topic stays the same, so that the model reads it once.
    """

    slots_a_call = 1

    def __init__(self, engine: Engine, model: str, brief: Brief) -> None:
        self._engine = engine
        self._brief = brief
        self._model = model

    async def propose(
        self, order: Sequence[Slot], turn: int, existing: Sequence[str]
    ) -> Sequence[Proposal]:
        """Return one proposal for each slot, by lines that begin or are drawn differently."""
        del existing
        return [Proposal(slot, await self._go_on(slot, turn)) for slot in order]

    async def _go_on(self, slot: Slot, turn: int) -> str:
        # Text seeds: equal for equal arguments in every process, unlike hash().
        chooser = random.Random(f"{self._brief.seed} {slot.topic} {slot.number} {turn}")
        begin = self._beginning(chooser)
        request = ModelRequest(
            model=self._model,
            messages=(Message("raw", f"{self._list(slot.topic)} {begin}"),),
            temperature=_TEMPERATURE,
            max_tokens=_CONTINUATION_TOKENS,
            seed=chooser.randrange(2**31),
            stop=("\n",),
        )
        accept = ("complete", "truncated", "refused", "empty")
        answer = await self._engine.complete(request, asker="synthesis/inputs", accept=accept)
        # What was cut off has no end; better none than half a sentence.
        text = f"{begin}{answer.text}" if answer.state == "complete" else ""
        return text.strip().strip('"')

    def _beginning(self, chooser: random.Random) -> str:
        """Return the first part of an example with the details of other ones."""
        words = self._with_other_details(chooser.choice(self._brief.examples), chooser).split()
        shortest, longest = (max(1, int(share * len(words))) for share in _BEGINNING)
        return " ".join(words[: chooser.randint(shortest, longest)])

    def _with_other_details(self, text: str, chooser: random.Random) -> str:
        for detail in reversed([*details_of(text)]):
            other = chooser.choice(self._details[detail.kind])
            text = f"{text[: detail.start]}{other}{text[detail.end :]}"
        return text

    @cached_property
    def _details(self) -> Mapping[str, Sequence[str]]:
        """The details of all examples by their kind."""
        details: defaultdict[str, list[str]] = defaultdict(list)
        for text in self._brief.examples:
            for detail in details_of(text):
                details[detail.kind].append(detail.text)
        return details

    def _list(self, topic: str) -> str:
        """Return the beginning of a list, up to the number of the line to go on with."""
        chooser = random.Random(f"{self._brief.seed} {topic}")
        examples = self._brief.examples
        examples = chooser.sample(examples, min(_LONGEST_LIST, len(examples)))
        subject = f" about {topic}" if topic else ""
        lines = [f"{number}. {' '.join(text.split())}" for number, text in enumerate(examples, 1)]
        head = f"A list of {len(examples) + 20} different messages{subject}, one a line:"
        return "\n".join([head, *lines, f"{len(lines) + 1}."])


def detail_fault(examples: Sequence[str]) -> Callable[[Proposal], str]:
    """Return what says of a proposal which detail it lacks that the user's own inputs name.

    For models that follow no instructions alone: others leave a detail out on purpose.
    """
    kinds = usual_details(examples)

    def fault_of(proposal: Proposal) -> str:
        missing = missing_details(proposal.text, kinds)
        return f"not whole: it names no {', no '.join(missing)}" if missing else ""

    return fault_of
