"""What runs in the process that trains; torch and transformers are imported here alone."""
