"""How far a judge agrees with people, and how to refine it.

A judge is set beside the best constant answer, and beside a second rater if there is one.
"""
