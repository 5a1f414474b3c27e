"""Generate data: data plans, inputs, outputs, minimal pairs, splits and data reports.

A data plan (`data_plan.py`) says which slots are to be filled. `data_generation.py` drafts it,
edits it and carries it out; `plan_calls.py` counts the calls by the rules that these follow.
An output is made by the same code that an eval runs. The data report beside the task
(`kiln_mcp_data_report.json`) says what was made, how similar it is, and how each split was dealt.
Near-duplicates and items of one topic never straddle two parts.
"""
