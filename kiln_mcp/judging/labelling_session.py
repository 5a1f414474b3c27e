"""A person's labelling session: one output at a time, saved after each answer.

Items are drawn a few ahead, so that the next one is there at once. What this rater was shown in an
earlier session and did not label comes first.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import anyio

from kiln_mcp.judging.batches import NEW_ITEMS, BatchRequest, draw_items
from kiln_mcp.judging.golden_sets import open_labelling_pass
from kiln_mcp.judging.label_storage import write_labels
from kiln_mcp.judging.live_limits import LiveLimits, live_limits
from kiln_mcp.labels.entries import (
    EvalLabels,
    LabelBatch,
    check_rater_name,
    entry_of,
    meaning_of,
    with_confirmation,
    without_confirmation,
)
from kiln_mcp.labels.golden_set import read_outputs
from kiln_mcp.labels.label_words import event_text
from kiln_mcp.labels.labelling_pass import LabellingPass, ScoreOfEval
from kiln_mcp.labels.ledger import JUDGED, Label, State
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore
from storage.errors import Refusal

DRAWN_AHEAD: Final = 10
"""Items of one draw of a session."""
_FIRST_COUNTS: Final = (
    "The first label counts for the certificate. What you say now stands beside it."
)
_FEWEST_AHEAD: Final = 3
"""Items below which the next ones are drawn, while the person reads."""


@dataclass(frozen=True, slots=True)
class Question:
    """One score of one output that the rater is asked about.

    Attributes:
        item: The item's id.
        input: Its input.
        output: Its output.
        place: The score.
        number: Which item of the session it is, from 1.
        total: How many the session is to have.
        answer: What the rater said of it in this session; empty if nothing.
        reason: The reason that they gave.
    """

    item: str
    input: str
    output: str
    place: ScoreOfEval
    number: int
    total: int
    answer: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Text:
    input: str
    output: str


@dataclass(slots=True)
class LabellingSession:
    """The state of one session.

    Attributes:
        workspace: Draws items.
        store: The project.
        request: What is drawn, for whom, and how many.
        is_person: Whether a person answers at a terminal, so that labels count as confirmed.
        clock: Seconds of a clock that never goes back.
        notes: What the rater should know now, as sentences.
        labels_before: The first eval's labels before the session.
    """

    workspace: Workspace
    store: ProjectStore
    request: BatchRequest
    is_person: bool
    labelling: LabellingPass
    clock: Callable[[], float] = time.monotonic
    notes: list[str] = field(default_factory=list[str])
    labels_before: Sequence[Label] = ()
    _queue: list[str] = field(default_factory=list[str])
    _texts: dict[str, _Text] = field(default_factory=dict[str, _Text])
    _scores: dict[str, Sequence[ScoreOfEval]] = field(
        default_factory=dict[str, Sequence[ScoreOfEval]]
    )
    _labels: dict[tuple[str, str], Label] = field(default_factory=dict[tuple[str, str], Label])
    _order: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _place: tuple[int, int] = (0, 0)
    _reason: str = ""
    _shown_item: str = ""
    _shown_at: float = 0.0
    _is_exhausted: bool = False
    _available: int = 0
    _audit: LiveLimits | None = None
    _saved: list[Label] = field(default_factory=list[Label])
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def labelled_count(self) -> int:
        """How many items have got a label or were skipped in this session."""
        return len({item for item, _ in self._labels})

    @property
    def skipped_count(self) -> int:
        """How many items have no other answer in this session than a skip."""
        items = {item for (item, _), label in self._labels.items() if label.state != "skipped"}
        return self.labelled_count - len(items)

    @property
    def question(self) -> Question | None:
        """What the rater is asked now; None if the session has ended."""
        place, score = self._place
        if place >= min(len(self._queue), self.request.count):
            return None
        item = self._queue[place]
        scores = self._scores[item]
        target = scores[min(score, len(scores) - 1)]
        label = self._labels.get((item, target.name))
        text = self._texts[item]
        return Question(
            item=item,
            input=text.input,
            output=text.output,
            place=target,
            number=place + 1,
            total=self._total,
            answer=event_text(label, target.score.type) if label else "",
            reason=self._reason or (label.reason if label else ""),
        )

    @property
    def _total(self) -> int:
        """How many items the session is to have, as far as that is known."""
        count = len(self._queue) if self._is_exhausted else self.request.count
        if self.request.purpose in NEW_ITEMS:
            count = min(count, max(self._available, len(self._queue)))
        return min(count, self.request.count)

    @property
    def needs_items(self) -> bool:
        """Whether the next items should be drawn now."""
        ahead = len(self._queue) - self._place[0]
        is_full = len(self._queue) >= self.request.count
        return not (self._is_exhausted or is_full) and ahead <= _FEWEST_AHEAD

    async def draw_ahead(self) -> None:
        """Draw the next items, if they should be."""
        async with self._lock:
            if not self.needs_items:
                return
            count = min(DRAWN_AHEAD, self.request.count - len(self._queue))
            try:
                request = replace(self.request, count=count, exclusions=frozenset(self._queue))
                drawn = await draw_items(self.workspace, self.store, request)
            except Refusal as error:
                self._is_exhausted = True
                if not self._queue:
                    raise
                self.notes = [str(error)]
                return
            waiting = len(self._queue) - self.labelled_count
            self._available = len(self._queue) + drawn.unlabelled_items - waiting
            self.labelling = drawn.labelling
            self.notes = [*drawn.notes]
            await self.read_audit()
            if drawn.new_items and self.request.outputs is not None:
                self.request = replace(self.request, outputs=None)
            await self.take_items(drawn.items)

    async def read_audit(self) -> None:
        """Read the audit that draws the items, if one does."""
        if self.request.purpose == "certificate":
            self._audit = await live_limits(self.store, self.labelling, self.request.evaluator)

    @property
    def limits(self) -> str:
        """Between which limits judge and people agree so far; empty if no audit draws."""
        if self._audit is None:
            return ""
        key = self.labelling.first.scores[0].json_key
        own = [label for label in self._saved if label.score == key]
        return self._audit.sentence([*self.labels_before, *own], self.request.rater)

    async def take_items(self, items: Sequence[str]) -> None:
        """Put items at the end of the queue, with their texts."""
        new = [item for item in items if item not in self._texts]
        records = await read_outputs(self.store, [self.labelling.runs[item] for item in new])
        for item in new:
            scores = self._scores_of(item)
            if item in records and scores:
                run = records[item]
                self._texts[item] = _Text(run.input, run.output.output)
                self._scores[item] = scores
                self._queue.append(item)
        if not new:
            self._is_exhausted = True

    def _scores_of(self, item: str) -> list[ScoreOfEval]:
        """Return the scores that an item is asked about: those without a label, or all again."""
        own = [score for score in self.labelling.scores if item in score.golden_set.ids]
        is_new = [
            score
            for score in own
            if score.golden_set.state(score.golden_set.item(item), score.score) not in JUDGED
        ]
        return is_new or own

    def show(self) -> None:
        """Note that the question is shown now; its item's answers take their time from here."""
        question = self.question
        if question is not None and question.item != self._shown_item:
            self._shown_item, self._shown_at = question.item, self.clock()

    async def answer(self, word: str) -> bool:
        """Save the answer to the question and go on; False if the word means nothing here."""
        question = self.question
        meaning = None if question is None else meaning_of(word, question.place.score)
        if question is None or meaning is None:
            return False
        await self._save(question, meaning, self._reason or question.reason)
        self._order = [place for place in self._order if place != self._place]
        self._order.append(self._place)
        self._reason = ""
        if meaning[0] == "skipped":
            self._place = (self._place[0] + 1, 0)
        else:
            self._go_on(question)
        if self.question is None and self.needs_items:
            await self.draw_ahead()
        return True

    async def give_reason(self, text: str) -> None:
        """Keep a reason for the answer; save it at once if there is an answer."""
        question = self.question
        if question is None:
            return
        label = self._labels.get((question.item, question.place.name))
        if label is None or label.state not in JUDGED:
            self._reason = text
            return
        self._reason = ""
        await self._save(question, (label.state, label.value), text, label.seconds)

    def go_back(self) -> bool:
        """Go to the question before; False at the first one."""
        place, score = self._place
        if score > 0:
            self._place = (place, score - 1)
        elif place > 0:
            self._place = (place - 1, len(self._scores[self._queue[place - 1]]) - 1)
        else:
            return False
        self._reason = ""
        return True

    def go_forward(self) -> bool:
        """Go to the next question if the rater has answered this one; False otherwise."""
        question = self.question
        if question is None or not question.answer:
            return False
        self._go_on(question)
        return True

    async def undo(self) -> bool:
        """Withdraw the last answer and go back to its question; False if there is none."""
        if not self._order:
            return False
        self._place = self._order.pop()
        self._reason = ""
        question = self.question
        if question is None:
            return False
        await self._save(question, ("withdrawn", None), "")
        del self._labels[question.item, question.place.name]
        if self.request.purpose == "certificate":
            self.notes = [_FIRST_COUNTS]
        return True

    def _go_on(self, question: Question) -> None:
        place, score = self._place
        is_last = score + 1 >= len(self._scores[question.item])
        self._place = (place + 1, 0) if is_last else (place, score + 1)

    async def _save(
        self,
        question: Question,
        meaning: tuple[State, float | None],
        reason: str,
        seconds: float | None = None,
    ) -> None:
        if seconds is None:
            seconds = round(max(0.0, self.clock() - self._shown_at), 1)
        batch = LabelBatch(self.request.rater, datetime.now(UTC), seconds=seconds)
        place = question.place
        entry = entry_of(place, question.item, meaning, reason, batch)
        golden_set = place.golden_set
        mark = with_confirmation if self.is_person else without_confirmation
        parts = mark([EvalLabels(golden_set, [entry])])
        await write_labels(self.store, parts)
        self._labels[question.item, place.name] = parts[0].entries[0]
        if place.golden_set.task_eval.id == self.labelling.first.task_eval.id:
            self._saved.append(parts[0].entries[0])


async def open_session(
    workspace: Workspace, store: ProjectStore, request: BatchRequest, *, is_person: bool
) -> LabellingSession:
    """Open a session with its first items.

    Raises:
        Refusal: There is nothing to label, or the rater's name is too long.
    """
    check_rater_name(request.rater)
    labelling = await open_labelling_pass(store, request.evals, may_be_empty=True)
    session = LabellingSession(workspace, store, request, is_person, labelling)
    session.labels_before = labelling.first.labels
    waiting = _items_to_resume(labelling, request)
    if waiting:
        await session.take_items(waiting[: request.count])
        await session.read_audit()
    if session.needs_items:
        await session.draw_ahead()
    return session


def _items_to_resume(labelling: LabellingPass, request: BatchRequest) -> list[str]:
    """Return the items that this rater was shown and has not labelled, the oldest draw first."""
    if request.purpose not in NEW_ITEMS:
        return []
    exclusions = labelling.complete | labelling.skipped_items(request.rater)
    items = [
        item
        for draw in labelling.draws
        if draw.rater == request.rater and draw.purpose == request.purpose
        for item in (draw.items if request.purpose == "certificate" else sorted(draw.items))
        if item in labelling.runs and item not in exclusions
    ]
    return list(dict.fromkeys(items))
