"""The steps of a session that read the person's labels."""

from kiln_mcp.labels.reviews import USUAL_GOAL
from kiln_mcp.spec_texts.session_events import SpecSession
from kiln_mcp.specs.review import learn, reviewed_drafts
from kiln_mcp.specs.revisions import Revision
from kiln_mcp.specs.session_work import SessionWork
from kiln_mcp.specs.steps import write_revision
from kiln_mcp.specs.touched_labels import touched_labels


async def review_labels(work: SessionWork, session: SpecSession) -> SpecSession:
    """Learn from the person's labels of saved specs, and say how far the judges agree.

    A draft with changes that wait to be saved learns too; its judge is of the saved spec, so no
    agreement is told of it.
    """
    if session.has_step(work.job, "review"):
        return session
    drafts = [draft for draft in session.open_drafts if draft.eval_id]
    revision = Revision(session)
    for review in await reviewed_drafts(work.store, work.task, drafts):
        learn(revision, review)
        if not review.draft.is_saved:
            continue
        agreement = review.agreement(session.goal or USUAL_GOAL)
        work.notes.append(review.agreement_sentence(agreement))
        if agreement.is_reached:
            work.agreed_drafts.append(review.draft.id)
    if revision.changes_nothing:
        return session
    return await write_revision(work, session, revision, "review")


async def note_flips(work: SessionWork, session: SpecSession) -> None:
    """Name the earlier labels that the drafts now contradict."""
    changed = [draft for draft in session.open_drafts if draft.eval_id and not draft.is_saved]
    for review in await reviewed_drafts(work.store, work.task, changed):
        saved = session.saved_draft(review.draft.id)
        labels = await touched_labels(work.store, work.task, review, saved)
        work.label_count += len(labels.items)
        if labels.sentence:
            work.notes.append(labels.sentence)
        work.judge_model = review.judge_model or work.judge_model
        if review.flips:
            work.notes.append(f"Earlier labels would flip: {'; '.join(review.flips)}.")
