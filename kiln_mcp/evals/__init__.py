"""Evals: run configs, evaluators, the runner, comparison."""
