"""The index of a project: derived from its files, disposable, shared by processes."""
