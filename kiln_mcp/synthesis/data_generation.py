"""One call that generates data: it drafts a plan, edits it, or carries it out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import anyio.to_thread

from kiln_mcp.llm import ModelError
from kiln_mcp.programs.readiness import ready_run_configs
from kiln_mcp.synthesis.answers import DataPlanReport, GeneratedData
from kiln_mcp.synthesis.data_plan import DataPlan, JobSpending
from kiln_mcp.synthesis.draft_edits import DraftEdits
from kiln_mcp.synthesis.generated_items import GeneratedItem, PlannedInput
from kiln_mcp.synthesis.generation import (
    GenerationContext,
    new_plan,
    open_generation,
    settings_of,
)
from kiln_mcp.synthesis.input_files import with_file
from kiln_mcp.synthesis.plan_calls import Work, input_work, naming_work, output_work
from kiln_mcp.synthesis.plan_reports import plan_report
from kiln_mcp.synthesis.plan_results import Saving, save_items
from kiln_mcp.synthesis.plan_settings import PlanSettings, check_plan, edited_plan
from kiln_mcp.synthesis.plan_sources import with_sources
from kiln_mcp.synthesis.plan_steps import (
    draft_of,
    make_items,
    open_slots,
    own_inputs,
    planned_inputs,
    wanted_slots,
    with_missing,
    with_names,
    write_inputs,
)
from kiln_mcp.synthesis.plan_store import DraftLine, add_drafts, add_plan, drafts_of
from kiln_mcp.synthesis.source_edits import with_source_edits
from kiln_mcp.synthesis.user_cases import check_conversations
from kiln_mcp.workbench.capability import Proposal
from kiln_mcp.workbench.workspace import Workspace
from storage import Change, ProjectStore, Task
from storage.errors import NextStep, Refusal

Outcome = GeneratedData | DataPlanReport
Drafts = Mapping[int, DraftLine]


@dataclass(frozen=True, slots=True)
class DataGeneration:
    """A call in a project.

    Attributes:
        workspace: What the call works with.
        store: The open project.
        task: The task that data is generated for.
    """

    workspace: Workspace
    store: ProjectStore
    task: Task

    async def draft(self, settings: PlanSettings) -> Proposal[Outcome]:
        """Propose to make a plan, which a person looks at before anything else is paid."""
        settings = await with_file(self.workspace, self.task, settings)
        context = await self._open(settings, settings.count or 1)
        plan = await self._with_sources(
            context, new_plan(context, settings, self._new_id()), settings
        )
        return await self._naming(context, plan, settings)

    async def edit(self, earlier: DataPlan, settings: PlanSettings) -> Proposal[Outcome]:
        """Propose an edit of a plan, or of the drafts of its inputs.

        Raises:
            Refusal: There is no such draft.
        """
        if settings.delete:
            return await self._deletion(earlier, settings)
        plan = edited_plan(earlier, settings)
        context = await self._open(settings_of(plan), plan.count)
        plan = await self._with_sources(context, plan, settings)
        if settings.has_draft_edits:
            edit = DraftEdits(plan, self.task, self.workspace.author)
            drafts = await edit.of(await self._drafts(plan), settings)
            looked_at = plan.with_changes({"stage": "inputs", "stage_job": ""})
            return await self._free(context, looked_at, drafts)
        if settings.model_fields_set == {"id"}:
            return await self._look(context, plan)
        return await self._naming(context, plan, settings)

    async def run_at_once(self, settings: PlanSettings) -> Proposal[Outcome]:
        """Propose to make a plan and to carry it out."""
        settings = await with_file(self.workspace, self.task, settings)
        context = await self._open(settings, len(settings.inputs or []) or settings.count or 1)
        if settings.inputs:  # what does not fit is said before a job begins
            await own_inputs(context, settings.inputs, is_of_users=bool(settings.turns))
        plan = await self._with_sources(
            context, new_plan(context, settings, self._new_id()), settings
        )
        work = naming_work(settings, plan.writer) if not plan.topics else Work()
        work += self._work(context, plan, {})

        async def generate() -> Outcome:
            async with self._turn():
                fresh = await self._open(settings, plan.count)
                named_plan = await with_names(self.workspace.engine, fresh, plan, settings)
                return await self._all_steps(fresh, named_plan, {})

        return await self._proposal(context, plan, work, generate)

    async def carry_out(self, plan: DataPlan) -> Proposal[Outcome]:
        """Propose the next step of a plan: its inputs alone, or all that is left.

        Raises:
            Refusal: It was carried out before.
        """
        settings = settings_of(plan)
        context = await self._open(settings, plan.count)
        if plan.stage == "done" and plan.session != context.session_tag:
            raise _second_execution(plan)
        drafts = await self._drafts(plan)
        work = self._work(context, plan, drafts)

        async def generate() -> Outcome:
            async with self._turn():
                fresh = await self._open(settings, plan.count)
                return await self._all_steps(fresh, plan, drafts)

        count = len(open_slots(plan, drafts)) if drafts else plan.count
        return await self._proposal(context, plan, work, generate, count)

    async def _all_steps(
        self, context: GenerationContext, plan: DataPlan, drafts: Drafts
    ) -> Outcome:
        """Carry out what is left of a plan, up to the next look of a person."""
        engine = self.workspace.engine
        rejects: Mapping[str, int] = {}
        slots = wanted_slots(plan, drafts)
        job = self.workspace.job
        if plan.stage == "inputs" and job and plan.stage_job == job:
            # An attempt of this job came so far and was killed: a person has not looked yet.
            return await self._report(context, plan, drafts)
        if _needs_inputs(plan, drafts):
            await self.workspace.report(0, None, "Writing inputs.")
            embeddings = self.workspace.settings.embeddings
            batch = await write_inputs(engine, context, plan, drafts, embeddings)
            rejects = batch.rejects
            author = self.workspace.author
            new_drafts = {
                proposal.slot.number: draft_of(
                    plan, proposal, author, drafts.get(proposal.slot.number)
                )
                for proposal in batch.inputs
            }
            if plan.stop_after_inputs:
                plan = plan.with_changes({"stage": "inputs", "stage_job": job})
                await self._save(plan, list(new_drafts.values()))
                drafts = with_missing(plan, {**drafts, **new_drafts})
                return await self._report(context, plan, drafts)
            drafts = {**drafts, **new_drafts}
        if plan.inputs:
            inputs, repeats = await own_inputs(context, plan.inputs, is_of_users=bool(plan.turns))
            rejects = {"there already": repeats}
        else:
            inputs = planned_inputs(plan, context, drafts)
        items = await self._items(context, plan, inputs)
        spent_plan = await self._with_spending(plan)
        saving = Saving(context, spent_plan, slots, drafts, self.workspace.author)
        return await save_items(saving, items, rejects)

    async def _items(
        self, context: GenerationContext, plan: DataPlan, inputs: list[PlannedInput]
    ) -> list[GeneratedItem]:
        async def report_done(done: int) -> None:
            message = "Running the task on the inputs."
            await self.workspace.report(done, len(inputs), message)

        return await make_items(self.workspace, context, plan, inputs, report_done)

    async def _naming(
        self, context: GenerationContext, plan: DataPlan, settings: PlanSettings
    ) -> Proposal[Outcome]:
        """Propose to save a plan with the topics and personas that its writer names."""
        is_new = settings.id is None
        names_topics = settings.renames_topics or (is_new and not plan.topics)
        naming = settings if names_topics else settings.model_copy(update={"topics": plan.topics})
        work = naming_work(naming, plan.writer)
        if not any(work.calls.values()):
            return await self._free(context, plan, {})

        async def name() -> Outcome:
            named_plan = await with_names(self.workspace.engine, context, plan, naming)
            await self._save(named_plan, [])
            return await self._report(context, named_plan, {})

        return await self._proposal(context, plan, work, name)

    async def _look(self, context: GenerationContext, plan: DataPlan) -> Proposal[Outcome]:
        """Propose to show a plan with its drafts, which changes nothing."""

        async def show() -> Outcome:
            return await self._report(context, plan, await self._drafts(plan))

        return await self._proposal(context, plan, Work(), show)

    async def _deletion(self, plan: DataPlan, settings: PlanSettings) -> Proposal[Outcome]:
        """Propose to delete a plan; the items that it made stay."""
        context = await self._open(settings_of(plan), plan.count)
        if settings.model_fields_set - {"id", "delete"}:
            raise Refusal(
                "The plan '{id}' was not deleted, because other settings came with `delete`. Give "
                "its id and delete=true alone.",
                id=plan.id,
            )
        return await self._free(context, plan.with_changes({"stage": "deleted"}), {})

    async def _free(
        self, context: GenerationContext, plan: DataPlan, drafts: Drafts
    ) -> Proposal[Outcome]:
        """Propose to save a plan and drafts as they are, which asks no model."""

        async def save() -> Outcome:
            await self._save(plan, list(drafts.values()))
            return await self._report(context, plan, drafts)

        return await self._proposal(context, plan, Work(), save)

    async def _proposal(
        self,
        context: GenerationContext,
        plan: DataPlan,
        work: Work,
        carry_out: Callable[[], Awaitable[Outcome]],
        count: int | None = None,
    ) -> Proposal[Outcome]:
        workspace = self.workspace
        if any(work.calls.values()):
            if context.resolved_config.model in work.calls:
                await ready_run_configs(workspace, context.store, [context.config])
                await self._check_answerer(context)
            await workspace.check_ready(context.store, work.calls)
        kind = f"conversations of up to {plan.turns} turns" if plan.turns else "items"
        summary = f"Generate {count or plan.count} {kind} for the task '{context.task.name}'."
        return Proposal(await work.plan(workspace.engine, summary), carry_out)

    def _work(self, context: GenerationContext, plan: DataPlan, drafts: Drafts) -> Work:
        """Return the calls of the next step of a plan."""
        work = Work()
        if _needs_inputs(plan, drafts):
            rewrites = [draft for draft in drafts.values() if draft.state == "again"]
            work += input_work(plan, len(rewrites) or plan.count)
            if plan.stop_after_inputs:
                return work
        slots = plan.count if plan.inputs else open_slots(plan, drafts)
        return work + output_work(plan, context.resolved_config, slots, drafts)

    async def _report(
        self, context: GenerationContext, plan: DataPlan, drafts: Drafts
    ) -> DataPlanReport:
        work = Work() if plan.stage == "deleted" else self._work(context, plan, drafts)
        return await plan_report(self.workspace.engine, context, plan, work, drafts)

    async def _with_spending(self, plan: DataPlan) -> DataPlan:
        """Return a plan that says what this job has taken so far, in all its attempts."""
        job = self.workspace.job
        entries = await self.workspace.engine.spending(f"jobs/{job}/*") if job else ()
        if not entries:
            return plan
        calls = sum(entry.usage.calls for entry in entries)
        is_priced = not any(entry.unpriced_calls for entry in entries)
        usd = sum(entry.usage.cost_usd or 0.0 for entry in entries) if is_priced else None
        own = JobSpending(calls=calls, usd=usd)
        return plan.with_changes({"spending": {**plan.spending, job: own}})

    async def _save(self, plan: DataPlan, drafts: Sequence[DraftLine]) -> None:
        plan = await self._with_spending(plan)

        def save(change: Change) -> None:
            add_plan(change, self.task, plan, self.workspace.author)
            add_drafts(change, self.task, drafts)

        async with self.store.transaction(is_patient=True) as change:
            await anyio.to_thread.run_sync(save, change)

    async def _drafts(self, plan: DataPlan) -> dict[int, DraftLine]:
        """Return the drafts of a plan's inputs; none if it was changed since they were written."""
        if plan.stage == "plan":
            return {}
        drafts = with_missing(plan, await drafts_of(self.store, self.task, plan.id))
        if plan.stage != "done" or not self.workspace.job:
            return drafts
        # An attempt of this job came to its end and was killed: its items are answered again.
        own_ids = {self.workspace.id_for(f"item {number}") for number in range(plan.count)}
        return {
            number: draft.model_copy(update={"state": "kept", "item": ""})
            if draft.item in own_ids
            else draft
            for number, draft in drafts.items()
        }

    async def _open(self, settings: PlanSettings, count: int) -> GenerationContext:
        ids = [self.workspace.id_for(f"item {number}") for number in range(count)]
        model = self.workspace.model_name(None)
        return await open_generation(self.store, self.task, settings, model, ids)

    async def _with_sources(
        self, context: GenerationContext, plan: DataPlan, settings: PlanSettings
    ) -> DataPlan:
        check_plan(plan)
        plan = await with_sources(self.workspace, context, plan, settings)
        plan = with_source_edits(plan, settings)
        check_conversations(plan, self.task)
        return plan

    def _turn(self) -> AbstractAsyncContextManager[None]:
        # Others may have added items since, which are not to be made again.
        return self.workspace.turn(self.store, f"data {self.task.id}")

    def _new_id(self) -> str:
        return f"p{self.workspace.id_for('plan')[:6]}"

    async def _check_answerer(self, context: GenerationContext) -> None:
        """Refuse a run config whose model cannot answer: `model` names another one, the writer.

        Raises:
            Refusal: It cannot.
        """
        config = context.resolved_config
        try:
            await self.workspace.engine.check_ready({config.model: 1})
        except ModelError as error:
            raise Refusal(
                "The inputs would be answered by the run config '{config}' with the model "
                "{model}, which is not ready. {reason}",
                config=context.config.name,
                model=config.model,
                reason=error,
                next=[
                    NextStep(
                        tool="create_run_config",
                        reason="name a model that answers, and give the new name as `run_config`",
                    )
                ],
            ) from error


def _needs_inputs(plan: DataPlan, drafts: Drafts) -> bool:
    """Return whether inputs are to be written, all of them or some again."""
    if plan.inputs:
        return False
    return not drafts or any(draft.state == "again" for draft in drafts.values())


def _second_execution(plan: DataPlan) -> Refusal:
    return Refusal(
        "The plan '{id}' was carried out: its items have the tag {session}. Change it to carry it "
        "out again, such as its seed.",
        id=plan.id,
        session=plan.session,
        next=[
            NextStep(
                tool="generate_data",
                reason="make the same with other inputs",
                arguments={"plan": {"id": plan.id, "seed": plan.seed + 1}},
            )
        ],
    )
