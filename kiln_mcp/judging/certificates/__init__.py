"""Certificates: a judge agrees with a person on at least so much of a pool of outputs.

An audit belongs to one judge, one score and one pool, frozen when it opens. It draws items with
known probabilities, counts each drawn item once, and may be looked at after every label. An item
that was drawn and passed over counts against whatever is claimed.

Only the estimates read certificate labels. A change of the judge, its model, the rubric or the spec
makes an audit stale; a new one counts labels that were given after that change.
"""
