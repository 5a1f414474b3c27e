"""History, undo, deletion and the trash."""
