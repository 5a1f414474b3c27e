"""A task's items: parts, tags, topics, held-out items, the golden set."""
