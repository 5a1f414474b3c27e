"""Text: JSON that keeps its spelling, schemas, characters, excerpts, words for kinds."""
