"""What gives an output its scores: checks and judges."""
