"""People's labels: events, purposes, draws, hygiene, and their audit.

A label counts for the certificate only if the person confirmed it: its batch, or by a key at a
terminal. It then counts before any rating of the record, because any program may change a rating.
The first one counts; a later change stands beside it. It is hidden: it is no rating, and
`GoldenSet.development_labels` leaves its item out. Only estimates read it.

A label that an assistant passed on stays for development: warnings count it, and its item is drawn
again. The newest label for development is also Kiln's rating. Blind repeats are no labels: they
tell only how far a rater agrees with themselves.

One reading of an output serves several evals of a task (`LabellingPass`). Before a judge is
measured, the labels are audited (`label_audit`): a panel of judges may ask again, never overwrite.
"""
