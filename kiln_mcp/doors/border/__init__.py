"""The border between this person's daemon and every other process of the machine.

`peers` and `provider_variables` are of the standard library alone: the bridge uses them too.
"""
