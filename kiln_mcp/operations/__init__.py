"""Capabilities that run the workbench itself: jobs, models and the assistant's work orders."""
