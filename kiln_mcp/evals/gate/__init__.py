"""The gate: whether a run config may be released, from stored results alone."""
