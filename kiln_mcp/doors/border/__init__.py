"""The border between this person's daemon and the other processes of the machine.

`peers` and `provider_variables` use the standard library alone, because the bridge imports them.
"""
