"""A task's items: splits, near-duplicates, parts, tags, topics, held-out items, the golden set."""
