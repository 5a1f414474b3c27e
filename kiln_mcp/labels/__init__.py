"""People's labels: events, ledgers, draws, hygiene."""
