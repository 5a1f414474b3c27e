"""Generate data: coverage plans, inputs, outputs, splits and data reports.

An output is made by the same code that an eval runs. The data report beside the task
(`kiln_mcp_data_report.json`) says what was made, how similar it is, and how each split was dealt.
Near-duplicates and items of one topic never straddle two parts.
"""
