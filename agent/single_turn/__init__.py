"""One turn without a terminal: `kiln-chat -p`, for scripts and other programs."""
