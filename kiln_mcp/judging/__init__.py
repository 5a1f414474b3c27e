"""Judging the judges: labels, draws, agreement."""
