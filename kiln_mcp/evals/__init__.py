"""Evals: plan, run and compare.

A run is planned before it is carried out. So its cost is known beforehand, and a second run asks
nothing again. Verdicts point at the saved output that they judge, so a second judge judges the same
outputs. Pass and fail are compared by Newcombe's paired interval and McNemar's exact test, other
scores by a Bayesian bootstrap and Wilcoxon's test.

Stored outputs, such as traces, are judged as they are: their results lie where Kiln keeps those of
judged golden items. How often they fail is their rate, which labels drawn at random among the same
outputs correct (`rate_correction`). Several evaluators share the outputs of a run (`output_work`).

Two homes may run one eval. Each claims an item before it asks a model (`storage/commits/claims`),
reads the project again under the claim, and leaves what the other one claimed until the end.
"""
