"""The search for better prompts, with a limit of calls, measured on items that took no part.

A prompt is a list of blocks: paragraphs of instruction, and demonstrations by item. Candidates race
the best prompt in pairs, on a chunk of validation items at a time. The test is a betting test, so
it may be read after every chunk. A capable model proposes edits as operations. The embedded model
cannot, so its instructions come from a small set and its demonstrations from train items. The
winner is measured against the start on held-out items. Each decision is a line of the log beside
the eval.
"""
