"""People's labels: events, ledgers, draws, hygiene.

A label counts for the certificate only if the person confirmed its batch. It then counts before
any rating of the record, because any program may change a rating. A label that an assistant passed
on stays in the development ledger: warnings count it, and its item is drawn again. The newest label
is also Kiln's rating, unless the person confirmed another one.

Items of a random draw go to the certificate ledger and are weighted by stratum. Items picked by
hand go to the development ledger and never enter that estimate.
"""
