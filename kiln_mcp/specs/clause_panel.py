"""Apply a spec's clauses to real outputs by a panel of readings, and measure their ambiguity.

A reading is a model, a way of asking, and a wording of the clauses. Repeats of one reading show its
noise; what differs between readings beyond that is ambiguity.

    proposal = await propose_panel(workspace, store, task, content, PanelRequest(outputs=None))
        -> Proposal[ClausePanel]: the plan says calls and costs; carried out in the caller's job
    panel.ambiguities -> Sequence[ClauseAmbiguity], the worst first: clause, decision (ambiguous,
        noise, cannot tell), disagreement, noise, excess with interval, reason, splits (items)
    panel.statement -> str: who looked, at what, and what the panel cannot tell
    panel.failures -> Sequence[str]: calls without a verdict, apart from the verdicts
    beliefs = panel.beliefs() -> ReadingBeliefs, over the person's reading of each clause
    value = best_question(beliefs) -> QuestionValue | None; `is_worth_asking(value)` stops
    question = await clause_question(writer, panel, value) -> SpecQuestion; writer None: a template
    beliefs.answered(value.clause, value.item, passes=True) -> ReadingBeliefs
    await store_panel(store, task, panel); await read_panel(store, task, content)

`option.clause` of the question's two options is the text that replaces the clause; the first option
says that the output passes, the second that it fails. An answer in the person's own words changes
the clause, not the beliefs. `kiln_mcp.statistics.review_draw` chooses what a review shows.
"""
