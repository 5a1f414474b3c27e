"""Apply a spec's clauses to real outputs by a panel of readings, and measure their ambiguity.

A reading is a model, a manner of reading, and a wording of the clauses. Repeats of one reading show
its noise; what differs between readings beyond that is ambiguity.

    proposal = await propose_panel(workspace, store, task, clauses, PanelRequest())
    panel = await proposal.carry_out()
    await store_panel(store, task, panel)                        # panel_storage
    panel.ambiguities                                            # the worst first, with splits
    beliefs = panel.beliefs()
    value = beliefs.best_question(panel.ambiguous_clauses)
    if is_worth_asking(value, asked):
        question = await clause_question(writer, panel, value)   # clause_questions
        beliefs = beliefs.with_answer(value.clause, value.item, passes=True)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import anyio.lowlevel

from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.llm import EMBEDDED, HOST, ModelError
from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.spec_texts.spec_content import Clause
from kiln_mcp.specs.panel_calls import KIND, PanelAsker, PanelCall, PanelVerdict
from kiln_mcp.specs.panel_outputs import PanelOutput, PanelSample, sample_outputs
from kiln_mcp.specs.panel_readings import Reading, limits_of, make_readings, plan_readings
from kiln_mcp.statistics.clause_ambiguity import (
    AmbiguityDecision,
    ClauseAmbiguity,
    measure_ambiguity,
)
from kiln_mcp.statistics.panel_power import PanelSize, power_sentence
from kiln_mcp.statistics.reading_verdicts import Cell, ReadingVerdicts
from kiln_mcp.workbench.proposal import Proposal
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Task
from storage.errors import Refusal

if TYPE_CHECKING:
    from kiln_mcp.statistics.reading_beliefs import ReadingBeliefs

REPEATS: Final = 2
MOST_FAILURES: Final = 5
"""Failures that are told; the rest are counted."""


@dataclass(frozen=True, slots=True)
class PanelRequest:
    """What a panel judges, and who is on it.

    Attributes:
        outputs: How a person names the outputs, as run_eval takes it; None for the usual ones.
        models: The models that judge; empty for the default one.
        most_outputs: The most outputs; None for what the models can be asked.
        repeats: Verdicts of each reading on each output, 2 or more to tell noise apart.
        seed: Chooses outputs, and repeats the numbers.
        faults: The ids of the clauses whose words describe what must not happen.
    """

    outputs: str | None = None
    models: Sequence[str] = ()
    most_outputs: int | None = None
    repeats: int = REPEATS
    seed: int = 0
    faults: Collection[str] = ()


@dataclass(frozen=True)
class ClausePanel:
    """The verdicts of a panel: the verdict matrix of a spec's clauses.

    Attributes:
        clauses: The clauses.
        readings: The readings.
        outputs: The outputs.
        verdicts: By clause, output and reading, one for each repeat; abstentions are left out.
        reasons: The reason of the first verdict of a cell.
        failures: Sentences on calls without verdicts.
        abstentions: How often a model said that an output does not show it, by clause.
        total: Of how many outputs these were chosen.
        seed: Repeats the numbers.
    """

    clauses: Sequence[Clause]
    readings: Sequence[Reading]
    outputs: Sequence[PanelOutput]
    verdicts: ReadingVerdicts
    reasons: Mapping[Cell, str] = field(default_factory=dict[Cell, str])
    failures: Sequence[str] = ()
    abstentions: Mapping[str, int] = field(default_factory=dict[str, int])
    total: int = 0
    seed: int = 0

    @cached_property
    def ambiguities(self) -> Sequence[ClauseAmbiguity]:
        """What readings disagree on, by clause, the worst first."""
        return measure_ambiguity(self.verdicts, self.seed) if self.verdicts else []

    @property
    def ambiguous_clauses(self) -> Collection[str]:
        """The ids of the clauses on which readings differ beyond noise, the worst first."""
        ambiguous = AmbiguityDecision.AMBIGUOUS
        return [entry.clause for entry in self.ambiguities if entry.decision is ambiguous]

    @property
    def models(self) -> list[str]:
        """The models that judged."""
        return list(dict.fromkeys(reading.model for reading in self.readings))

    def beliefs(self) -> "ReadingBeliefs":
        """Return what is believed of a person's reading before any answer.

        Raises:
            ValueError: There is no verdict.
        """
        from kiln_mcp.statistics.reading_beliefs import reading_beliefs

        return reading_beliefs(self.verdicts)

    def output(self, item: str) -> PanelOutput:
        """Return the output of an item.

        Raises:
            KeyError: The panel did not judge it.
        """
        return {output.item: output for output in self.outputs}[item]

    @property
    def statement(self) -> str:
        """Who looked at what, and what such a panel cannot tell."""
        sentences = [
            f"{len(self.readings)} readings by {', '.join(self.models)} judged "
            f"{len(self.outputs)} of {self.total} outputs."
        ]
        if len(self.models) == 1:
            sentences.append(
                "One model shares its habits with itself: where its readings agree, people may "
                "still differ."
            )
        if EMBEDDED in self.models:
            sentences.append(
                "The embedded model is small: what splits its readings may be plain to a person."
            )
        if HOST in self.models:
            sentences.append(
                "An assistant that sees both repeats may copy itself, so its noise looks smaller."
            )
        return " ".join(sentences)


async def propose_panel(
    workspace: Workspace,
    store: ProjectStore,
    task: Task,
    clauses: Sequence[Clause],
    request: PanelRequest,
) -> Proposal[ClausePanel]:
    """Propose to have clauses judged by a panel; the plan says how often models are asked.

    Raises:
        NothingToEvaluate: There is no clause, or no output of the task.
        ModelError: A model cannot answer.
    """
    if not clauses:
        raise NothingToEvaluate("A spec without clauses has nothing that could be ambiguous.")
    models = list(request.models) or [workspace.model_name(None)]
    limits = limits_of(models)
    output_limit = min(request.most_outputs or limits.outputs, limits.outputs)
    sample = await sample_outputs(store, task, request.outputs, output_limit, request.seed)
    calls = dict.fromkeys(models, 0)
    calls_a_reading = -(-len(sample.outputs) // limits.outputs_a_call) * request.repeats
    for model, _, _ in plan_readings(models):
        calls[model] += calls_a_reading
    calls[models[0]] += 1
    await workspace.check_ready(store, calls)
    readings = len(plan_readings(models))
    size = PanelSize(len(sample.outputs), readings, request.repeats, len(clauses))
    summary = (
        f"Have {len(clauses)} clauses judged on {len(sample.outputs)} outputs, in several wordings "
        f"and {request.repeats} times each. {power_sentence(size)}"
    )
    plan = await estimate_cost(workspace.engine, summary, calls, KIND)
    work = _PanelWork(workspace, task, clauses, request, models, sample)
    return Proposal(plan, work.carry_out)


@dataclass(slots=True)
class _PanelWork:
    """One panel, while it is asked."""

    workspace: Workspace
    task: Task
    clauses: Sequence[Clause]
    request: PanelRequest
    models: Sequence[str]
    sample: PanelSample
    verdicts: list[PanelVerdict] = field(default_factory=list[PanelVerdict])
    failures: list[str] = field(default_factory=list[str])
    done: int = 0

    async def carry_out(self) -> ClausePanel:
        """Ask the models, and return all verdicts.

        Raises:
            Refusal: No call gave a verdict.
        """
        engine = self.workspace.engine
        asker = PanelAsker(engine, self.task.instruction, self.clauses, self.request.faults)
        readings = make_readings(self.models, self.clauses, await self._reword(asker))
        size = limits_of(self.models).outputs_a_call
        outputs = self.sample.outputs
        calls = [
            PanelCall(outputs[begin : begin + size], reading, repeat)
            for repeat in range(self.request.repeats)
            for begin in range(0, len(outputs), size)
            for reading in readings
        ]

        async def judge(call: PanelCall) -> None:
            await self._judge(asker, call, len(calls))

        await for_each(calls, judge, engine.width(self.models))
        if not any(verdict.passes is not None for verdict in self.verdicts):
            raise Refusal(
                "No model gave a verdict on any output. {reason}",
                reason=next(iter(self.failures), "All of them say that no output shows it."),
            )
        return panel_of(
            self.clauses, readings, self.sample, self.verdicts, self._failures(), self.request.seed
        )

    async def _reword(self, asker: PanelAsker) -> Mapping[str, Sequence[str]]:
        try:
            return await asker.reword(self.models[0])
        except BadAnswer as error:
            self.failures.append(f"The clauses were judged in their own words alone: {error}")
            return {}

    async def _judge(self, asker: PanelAsker, call: PanelCall, total: int) -> None:
        try:
            outcome = await asker.judge(call)
        except ModelError as error:
            self.failures.append(f"{call.reading.title}: {error}")
        else:
            self.verdicts += outcome.verdicts
            self.failures += outcome.problems
        self.done += 1
        await self.workspace.report(self.done, total, f"{self.done} of {total} answers of a panel.")
        await anyio.lowlevel.checkpoint()

    def _failures(self) -> list[str]:
        """Return the failures, equal ones once, and how many more there are."""
        counts: dict[str, int] = {}
        for failure in self.failures:
            counts[failure] = counts.get(failure, 0) + 1
        lines = [f"{text} ({n} times)" if n > 1 else text for text, n in counts.items()]
        excess = len(lines) - MOST_FAILURES
        return lines if excess <= 0 else [*lines[:MOST_FAILURES], f"{excess} other failures."]


def panel_of(
    clauses: Sequence[Clause],
    readings: Sequence[Reading],
    sample: PanelSample,
    verdicts: Sequence[PanelVerdict],
    failures: Sequence[str],
    seed: int,
) -> ClausePanel:
    """Return the panel of some verdicts, in an order that does not depend on which came first."""
    values: dict[Cell, list[bool]] = {
        Cell(clause.id, output.item, reading.id): []
        for clause in clauses
        for output in sample.outputs
        for reading in readings
    }
    reasons: dict[Cell, str] = {}
    abstentions = {clause.id: 0 for clause in clauses}
    for verdict in sorted(verdicts, key=lambda verdict: (verdict.cell, verdict.repeat)):
        if verdict.cell not in values:
            continue
        if verdict.passes is None:
            abstentions[verdict.cell.clause] += 1
        else:
            values[verdict.cell].append(verdict.passes)
            reasons.setdefault(verdict.cell, verdict.reason)
    return ClausePanel(
        clauses=clauses,
        readings=readings,
        outputs=sample.outputs,
        verdicts={cell: own for cell, own in values.items() if own},
        reasons=reasons,
        failures=failures,
        abstentions={clause: count for clause, count in abstentions.items() if count},
        total=sample.total,
        seed=seed,
    )
