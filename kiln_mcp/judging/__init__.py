"""The agreement of judges with people.

A judge is compared with the best constant answer, and with a second rater if there is one. Several
judges are compared on the same labels at once.

A panel gives cheap other verdicts of the same outputs. They are stored as results of evaluators.
Where its members differ, the judge may err; where nearly all contradict a label, the label may.

Disagreements and the search for a better judge (`refinement`) read labels for development alone.
Those for a certificate are counted and stay hidden.
"""
