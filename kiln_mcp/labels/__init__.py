"""People's labels: events, purposes, draws, hygiene.

A label counts for the certificate only if the person confirmed its batch. It then counts before
any rating of the record, because any program may change a rating. A label that an assistant passed
on stays for development: warnings count it, and its item is drawn again. The newest label
is also Kiln's rating, unless the person confirmed another one.

Labels of a random draw are for the certificate, and are weighted by stratum. Items picked by
hand have labels for development, which never enter that estimate.
"""
