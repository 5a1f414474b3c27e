"""The search for better prompts, with a limit of calls, measured on items that took no part.

`engine` is the search alone: edits of blocks, races on items that tell candidates apart, pipelines
over a decision log. The other modules run it on an eval. The log lies in the home while the search
runs, so that a stopped job goes on from it and pays for nothing twice. At the end start and winner
are measured once on test items. Only a winner that is shown to be better is saved.
"""
