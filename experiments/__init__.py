"""Programs: train, evaluate, report."""
