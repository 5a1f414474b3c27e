"""Freeze data sets and export them for fine-tuning."""
