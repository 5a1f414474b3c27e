"""Right answers as data: a strong model writes them, and they are verified before they count.

An answer is verified by everything that can say something of it: the checks of the task's evals,
the class that its input was written for, the words of the document that it rests on, an
independent answer, and verdicts on all clauses of the spec. Where they disagree, a person decides.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets import lineage
from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.run_configs.model_names import stored_model
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, produce
from kiln_mcp.synthesis.clause_checks import CheckedOutput, ClauseChecker, clause_lines
from kiln_mcp.synthesis.coverage_plan import Aim, Slot
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.generated_items import GeneratedItem, PlannedInput
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.last_answers import with_other_answer
from kiln_mcp.synthesis.output_checks import OutputChecks
from kiln_mcp.synthesis.pair_acceptance import LEAST, OutcomeRule
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import DataSource, TaskOutput, TaskRun
from storage.records.run import REFERENCE_ADAPTER, UNVERIFIED_ADAPTER

DISAGREEMENT: Final = "for a person: "
_WARM: Final = 0.7
_SAME: Final[Mapping[str, JsonValue]] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "same": {"type": "boolean"}},
    "required": ["reason", "same"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against one answer, by source.

    Attributes:
        verdicts: Whether each source agrees.
        other_answer: The independent answer; "" if none was asked for.
    """

    verdicts: Mapping[str, bool] = field(default_factory=dict[str, bool])
    other_answer: str = ""

    @property
    def is_enough(self) -> bool:
        """Return whether the answer is verified: something speaks for it, nothing against it."""
        return bool(self.verdicts) and all(self.verdicts.values())

    @property
    def against(self) -> list[str]:
        """The sources that disagree."""
        return [source for source, agrees in self.verdicts.items() if not agrees]


@dataclass(frozen=True, slots=True)
class ReferenceMaker:
    """Writes the right answers to a plan's inputs, and verifies them.

    Attributes:
        engine: The engine.
        context: What the project has.
        plan: The plan, with the models that write and check.
        checks: The checks of the task's evals.
    """

    engine: Engine
    context: GenerationContext
    plan: DataPlan
    checks: OutputChecks

    async def make(self, inputs: Sequence[PlannedInput]) -> list[GeneratedItem]:
        """Return items with right answers; those that are not verified are for a person."""
        answers = await self._answers(inputs)
        places = [place for place in range(len(inputs)) if answers[place][0]]
        answered_inputs = [(inputs[place], answers[place][0]) for place in places]
        clause_verdicts = await self._clause_verdicts(answered_inputs)
        evidence: dict[int, Evidence] = {}

        async def gather(number: int) -> None:
            item, answer = answered_inputs[number]
            evidence[number] = await self._evidence(number, item, answer)

        await for_each(
            range(len(answered_inputs)), gather, self.engine.width(self.plan.checking_models)
        )
        items: dict[int, GeneratedItem] = {}
        for number, place in enumerate(places):
            item, answer = answered_inputs[number]
            verdicts = {**evidence[number].verdicts, **clause_verdicts[number]}
            whole_evidence = replace(evidence[number], verdicts=verdicts)
            items[place] = self._item(item, answer, whole_evidence)
        return [
            items.get(place) or GeneratedItem(item, None, answers[place][1])
            for place, item in enumerate(inputs)
        ]

    async def make_last_answers(self, items: Sequence[GeneratedItem]) -> list[GeneratedItem]:
        """Return conversations whose last answer is the right one, as far as it is verified."""
        answered_items = [item for item in items if item.run is not None]
        inputs = [replace(item.planned_input, conversation=item.run) for item in answered_items]
        items_by_id = {
            item.planned_input.id: replace(
                reference, earlier_turns=item.earlier_turns, stop=item.stop
            )
            for item, reference in zip(answered_items, await self.make(inputs), strict=True)
        }
        return [items_by_id.get(item.planned_input.id, item) for item in items]

    async def _answers(self, inputs: Sequence[PlannedInput]) -> list[tuple[str, str]]:
        """Return the answer to each input, or why there is none."""
        answers: list[tuple[str, str]] = [(item.output, "") for item in inputs]
        config = self._config(self.plan.reference_writer)

        async def answer(place: int) -> None:
            item = inputs[place]
            own_config = _with_wish(_with_material(config, item), item)
            try:
                production = await produce(
                    self.engine, own_config, item.last_message, "synthesis/references", item.history
                )
            except ModelError as error:
                answers[place] = ("", str(error))
            else:
                answers[place] = (production.output, "")

        missing = [place for place, item in enumerate(inputs) if not item.output]
        await for_each(missing, answer, self.engine.width([config.model]))
        return answers

    def _config(self, model: str) -> ResolvedRunConfig:
        """Return how right answers are asked for: by the instruction and the clauses."""
        prompt = load_prompt("synthesis", "reference").render(
            task_instruction=self.context.task.instruction,
            requirements=clause_lines(self.plan.clauses) or "None beside the instruction.",
        )
        schema = self.context.resolved_config.schema
        return ResolvedRunConfig(model, prompt, schema=schema, seed=self.plan.seed)

    async def _clause_verdicts(
        self, answers: Sequence[tuple[PlannedInput, str]]
    ) -> list[dict[str, bool]]:
        """Return whether each answer meets all clauses for certain; nothing without clauses."""
        plan = self.plan
        if not plan.clauses:
            return [{} for _ in answers]
        checker = ClauseChecker(
            self.engine,
            plan.checking_models,
            plan.clauses,
            self.context.task.instruction,
            plan.seed,
        )
        outputs = [CheckedOutput(item.question, answer) for item, answer in answers]
        tallies = await checker.check(outputs)
        rule = OutcomeRule.of([clause.id for clause in plan.clauses], tallies, [])
        return [{"all clauses": rule.passes(tally) >= LEAST} for tally in tallies]

    async def _evidence(self, number: int, item: PlannedInput, answer: str) -> Evidence:
        """Return what speaks for and against an answer, apart from the clauses."""
        checks = await self.checks.verdicts(item.question, answer)
        verdicts = {f"check {name}": passes for name, passes in checks.items()}
        if item.slot is not None and item.slot.label:
            verdicts["class"] = says_label(answer, item.slot.label)
        if item.is_quoted:
            verdicts["quotation"] = True  # inputs whose quotation is not there are not used
        if not needs_second_answer(item.slot, is_quoted=item.is_quoted):
            return Evidence(verdicts)
        model = second_model(self.plan, number)
        config = _with_material(self._config(model), item)
        if model == self.plan.reference_writer:
            config = replace(config, sample=item.task_input.sample + 1, temperature=_WARM)
        try:
            second = await produce(
                self.engine, config, item.last_message, "synthesis/second_answers", item.history
            )
            is_same = await self._is_same(model, item.question, answer, second.output)
        except ModelError:
            return Evidence({**verdicts, "second answer": False})
        return Evidence({**verdicts, "second answer": is_same}, second.output)

    async def _is_same(self, model: str, task_input: str, first: str, second: str) -> bool:
        """Return whether two answers agree: as JSON by value, as text by a model's verdict."""
        if self.context.resolved_config.schema is not None:
            return json.loads(first) == json.loads(second)
        parts = load_prompt("synthesis", "same_answer").messages(
            task_instruction=self.context.task.instruction,
            task_input=task_input,
            first=first,
            second=second,
        )
        request = ModelRequest(
            model=model,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=_SAME,
            seed=self.plan.seed,
        )
        answer = await self.engine.complete(request, asker="synthesis/same_answer")
        return isinstance(answer.value, dict) and answer.value.get("same") is True

    def _item(self, item: PlannedInput, answer: str, evidence: Evidence) -> GeneratedItem:
        writer = stored_model(self.plan.writer if item.output else self.plan.reference_writer)
        is_right = evidence.is_enough
        verification: dict[str, JsonValue] = {
            "verdicts": dict(evidence.verdicts),
            "second_answer": evidence.other_answer if not is_right else "",
            "by": list[JsonValue](self.plan.checking_models),
        }
        properties: dict[str, str | int | float] = {
            "model_name": writer.name,
            "model_provider": writer.provider,
            "adapter_name": REFERENCE_ADAPTER if is_right else UNVERIFIED_ADAPTER,
            lineage.VERIFICATION: json.dumps(verification, ensure_ascii=False),
        }
        if is_right:
            properties[lineage.OUTCOME] = str(Aim.PASS)
        run = _run_of(item, answer, properties)
        tag = lineage.REFERENCE_TAG if is_right else lineage.PERSON_TAG
        run = run.replace(tags=(*run.tags, tag))
        if is_right:
            return GeneratedItem(item, run, "", Aim.PASS)
        reason = ", ".join(evidence.against) or "nothing could verify it"
        return GeneratedItem(item, run, f"{DISAGREEMENT}{reason}")


def _run_of(
    item: PlannedInput, answer: str, properties: Mapping[str, str | int | float]
) -> TaskRun:
    if item.conversation is not None:
        return with_other_answer(item.conversation, answer, properties)
    source = DataSource(type="synthetic", properties=dict(properties))
    return TaskRun(
        id=item.id,
        input=item.task_input.text,
        input_source=item.task_input.source,
        output=TaskOutput(output=answer, source=source),
        tags=item.task_input.tags,
    )


def _with_material(config: ResolvedRunConfig, item: PlannedInput) -> ResolvedRunConfig:
    """Return how an answer is asked for that rests on a passage."""
    if not item.material:
        return config
    prompt = load_prompt("synthesis", "reference_material").render(material=item.material)
    return replace(config, prompt=f"{config.prompt}\n\n{prompt}")


def _with_wish(config: ResolvedRunConfig, item: PlannedInput) -> ResolvedRunConfig:
    """Return how an answer is asked for that a person wants made again, with their note."""
    sample = item.task_input.sample
    if not sample:
        return config
    wish = f"\n\nA person refused the last answer and wishes: {item.note}" if item.note else ""
    return replace(config, prompt=config.prompt + wish, sample=sample, temperature=_WARM)


def needs_second_answer(slot: Slot | None, *, is_quoted: bool) -> bool:
    """Return whether an answer is compared with a second one.

    The class that an input was written for is an answer already, and so are the words of a passage
    that its answer quotes.
    """
    return not (is_quoted or (slot is not None and slot.label))


def second_model(plan: DataPlan, number: int) -> str:
    """Return the model of the second answer to one of the inputs: checkers take turns."""
    return plan.checking_models[number % len(plan.checking_models)]


def says_label(output: str, label: str) -> bool:
    """Return whether an output has a class: as its text, or as the value of one of its fields."""
    try:
        value: JsonValue = json.loads(output)
    except ValueError:
        value = output
    values = value.values() if isinstance(value, dict) else [value]
    wanted_text = label.strip().casefold()
    return any(str(part).strip().casefold() == wanted_text for part in values)
