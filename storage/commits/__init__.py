"""Transactions: write-ahead log, recovery, locks, claims, trash, side files."""
