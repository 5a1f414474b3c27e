"""Show the results of evals: scores, failures, comparisons."""
