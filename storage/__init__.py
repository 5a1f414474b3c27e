"""The project on disk: Kiln-format files are the truth, SQLite is an index."""
