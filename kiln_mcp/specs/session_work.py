"""What the steps of one call work with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kiln_mcp.spec_texts.findings import RULES
from kiln_mcp.spec_texts.session_events import (
    ModelStep,
    SessionEvent,
    SpecSession,
    Step,
)
from kiln_mcp.spec_texts.session_files import append_event, read_sessions
from kiln_mcp.specs.model_calls import (
    SpecWriter,
)
from storage import ProjectStore, Task


@dataclass(slots=True)
class SessionWork:
    """What the steps of one call work with.

    Attributes:
        store: The project.
        task: The task of the session.
        author: The person, and the assistant that passed it on.
        job: The job of the call; "" outside of jobs.
        writer: The model; None if rules do it.
        by: Who did the last step: rules, you, or the model.
        notes: What the person should know, as sentences.
        is_batch: Whether answers are assumed, so that a person has still to look at them.
        look_at: What was assumed.
        agreed_drafts: The drafts whose judge agrees with the person as far as they ask.
        label_count: The labels of saved specs that a change of their drafts can flip.
        judge_model: The model of their judges; None if it is unknown.
        texts: Source texts that the drafts may rest on.
    """

    store: ProjectStore
    task: Task
    author: str
    job: str = ""
    writer: SpecWriter | None = None
    by: str = RULES
    notes: list[str] = field(default_factory=list[str])
    is_batch: bool = False
    texts: Sequence[str] = ()
    look_at: list[str] = field(default_factory=list[str])
    agreed_drafts: list[str] = field(default_factory=list[str])
    label_count: int = 0
    judge_model: str | None = None

    async def write(self, event: SessionEvent) -> None:
        """Save an event."""
        async with self.store.transaction(is_patient=True) as change:
            append_event(change, self.task, event)

    def event(self, session: SpecSession, step: Step) -> SessionEvent:
        """Return an event of this call, still empty."""
        return SessionEvent(session=session.id, step=step, by=self.author, job=self.job)

    @property
    def model_step(self) -> ModelStep | None:
        """What this call asked a model; None if it asked nothing."""
        return self.writer.step() if self.writer is not None and self.writer.steps else None

    async def read(self, session_id: str) -> SpecSession:
        """Return a session as it is saved now."""
        sessions = await read_sessions(self.store, self.task)
        return next((s for s in sessions if s.id == session_id), SpecSession(id=session_id))
