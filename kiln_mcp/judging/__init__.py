"""The agreement of judges with people.

A judge is compared with the best constant answer, and with a second rater if there is one.
"""
