"""What a job may spend and has spent, and how long it waits."""
