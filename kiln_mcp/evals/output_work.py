"""The work of several evaluators on the same outputs: each output is made once for all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.evals.measurement import VerdictPlan, VerdictRequest
from kiln_mcp.evaluators.evaluator import calls_of_item
from storage import EvalConfig


@dataclass(frozen=True, slots=True)
class OutputWork:
    """An output with the verdicts that evaluators are to give of it.

    Attributes:
        requests: By the number of the evaluator; of the same item, run config and sample.
    """

    requests: Mapping[int, VerdictRequest]

    @property
    def first(self) -> VerdictRequest:
        """The first evaluator's request, which names the output like all others."""
        return next(iter(self.requests.values()))

    @property
    def lead(self) -> int:
        """The number of the evaluator that counts the output."""
        return next(iter(self.requests))

    def claims(self, evaluator_records: Sequence[EvalConfig]) -> tuple[str, ...]:
        """Return what is claimed so that nobody else makes the output or one of its verdicts."""
        names = [
            name
            for number, request in self.requests.items()
            for name in request.claims(evaluator_records[number])
        ]
        return tuple(dict.fromkeys(names))


def group_by_output(
    requests_by_evaluator: Mapping[int, Iterable[VerdictRequest]],
) -> list[OutputWork]:
    """Return the requests of evaluators by their outputs, in the order of the first ones."""
    groups: dict[tuple[str, str, int], dict[int, VerdictRequest]] = {}
    for number, requests in requests_by_evaluator.items():
        for request in requests:
            key = (request.config_id, request.item.id, request.sample)
            groups.setdefault(key, {})[number] = request
    return [OutputWork(group) for group in groups.values()]


def requests_of(work: Iterable[OutputWork], number: int) -> list[VerdictRequest]:
    """Return the requests of one evaluator."""
    return [output.requests[number] for output in work if number in output.requests]


def calls_of(plans: Sequence[VerdictPlan]) -> Mapping[str, int]:
    """Return how often each model will be asked for plans that are carried out together."""
    calls: dict[str, int] = {}
    outputs = group_by_output({n: plan.requests for n, plan in enumerate(plans)})
    for plan in plans:
        for model, count in calls_of_item(plan.measurement.evaluator).items():
            calls[model] = calls.get(model, 0) + plan.verdicts * count
    for output in outputs:
        for model, count in output.first.generation_calls.items():
            calls[model] = calls.get(model, 0) + count
    return calls
