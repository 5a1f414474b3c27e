"""Freeze datasets and export them for fine-tuning."""
