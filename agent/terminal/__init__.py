"""The terminal of the copilot: what it draws, and what the person types.

Text that is finished is written above a small region once, and never again. The region at the
bottom holds the end of the text that still grows, the input line and the status line.
prompt_toolkit draws the region; rich formats what is written. Without a terminal, and with
`--plain`, lines are written as they come and nothing is drawn twice.
"""
