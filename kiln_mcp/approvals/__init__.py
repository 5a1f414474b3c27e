"""Approvals: the person's consent to plans, their doors, and the requests that wait.

An approval comes only through a person's door: a question that the client shows, a terminal, a
page, or the allowance that the person set beforehand. The arguments of a call never approve it.

A request is one row of `approvals.sqlite`: the call, its plan, who answered, and at which door. It
holds for one tool, these arguments and this plan, for 24 hours, and for one use. Using it is one
transaction, on disk before the act begins. After a kill between the two the approval is used up
and the person is asked again.

The allowance reserves a plan's highest cost and calls in the transaction that approves it, so
several processes stay within it together. `settle` replaces the reservation by the actual cost. A
reservation that is never settled counts in full. A damaged `policy.json` counts as the strictest
policy; a damaged `approvals.sqlite` approves nothing.
"""
