"""The search for a better judge, on labels for development alone.

A model rewrites the judge's steps from the cases where judge and person differ. Each version judges
the same labelled items again, and is kept if it differs less. Labels for the certificate are
neither read nor measured here, so the winner can be certified later.
"""
