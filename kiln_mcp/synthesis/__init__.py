"""Make data: coverage plans, inputs, outputs, splits and data reports."""
