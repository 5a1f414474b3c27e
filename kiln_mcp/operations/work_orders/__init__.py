"""Take and answer the questions that wait for the host."""
