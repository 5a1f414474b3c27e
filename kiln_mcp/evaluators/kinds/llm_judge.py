"""A model that judges with a template: how it is defined, what it asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Literal

from pydantic import Field, JsonValue

from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    missing_reference,
    properties_of,
)
from kiln_mcp.evaluators.model_verdicts import (
    JudgeModel,
    ask_verdict,
    known_verdicts,
    numbered_list,
)
from kiln_mcp.evaluators.references import REFERENCE_KEY, with_others_in_words
from kiln_mcp.llm import Message
from kiln_mcp.run_configs.errors import ExtractionFailed
from kiln_mcp.run_configs.item_templates import (
    Case,
    check_template,
    render_ahead,
    render_template,
)
from kiln_mcp.run_configs.model_names import StoredModel, engine_model, stored_model
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import EvalConfig, LlmJudge

MOST_AHEAD: Final = 192
"""Prompts that are kept when more are made ahead; one that is gone is made again."""


class LlmJudgeDefinition(EvaluatorDefinition):
    """A model that judges by steps, which say in words what passes and what fails."""

    type: Literal["llm_judge"]
    steps: list[str] = Field(min_length=1, description="What to check, one step each.")
    model: str | None = Field(default=None, description="The judging model.")
    with_reference: bool = Field(
        default=False, description="Whether to show the item's stored output as the right answer."
    )
    weighted: bool = Field(
        default=False, description="G-Eval: weigh scores by logprobs; few models offer them."
    )
    max_tokens: int | None = Field(
        default=None,
        ge=16,
        le=1_000_000,
        description="The longest verdict in tokens, reasoning included; left out: 1200, or 8192 "
        "for models known to reason. One that is cut off is no score.",
    )

    @property
    def asks_model(self) -> bool:
        """Whether the evaluator asks a model."""
        return True

    @property
    def requested_model(self) -> str | None:
        """The model to ask; None for the default model."""
        return self.model

    @property
    def template(self) -> str:
        """The template of the judge's prompt."""
        name = "llm_judge_reference" if self.with_reference else "llm_judge"
        return load_prompt("evaluators", name).text

    async def check_logic(self) -> None:
        """Refuse a template that is not valid."""
        await check_template(self.template)

    def properties(self, model: str) -> Mapping[str, JsonValue]:
        """Return the record's properties."""
        model_pair = stored_model(model)
        return LlmJudge(
            model_name=model_pair.name,
            model_provider=model_pair.provider,
            prompt_template=self.template,
            reference_keys=(REFERENCE_KEY,) if self.with_reference else (),
            judge_instructions=tuple(self.steps),
            g_eval=self.weighted,
            max_tokens=self.max_tokens,
        ).model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class LlmJudgeEvaluator:
    """Renders the template with each output and asks the model.

    Attributes:
        properties: Of its record.
        judge: How the model is asked.
        prompts: Prompts that were made ahead, by the identity of their cases.
    """

    properties: LlmJudge
    judge: JudgeModel
    prompts: dict[int, tuple[Case, str]] = field(
        default_factory=dict[int, tuple[Case, str]], compare=False, repr=False
    )

    @property
    def model(self) -> str | None:
        """The engine's name of the model."""
        return self.judge.name

    @property
    def calls_per_item(self) -> int:
        """The model calls for one item."""
        return self.judge.calls_per_item

    async def look_ahead(self, cases: Sequence[Case]) -> None:
        """Make the prompts of some cases in one call of a worker."""
        template, steps = self.properties.prompt_template, self._steps
        texts = await render_ahead(template, [*map(_as_shown, cases)], steps)
        for key in list(self.prompts)[: max(0, len(self.prompts) - MOST_AHEAD)]:
            del self.prompts[key]
        for case, text in zip(cases, texts, strict=True):
            if text is not None:
                self.prompts[id(case)] = (case, text)

    @property
    def _steps(self) -> str:
        return numbered_list(self.properties.judge_instructions or ())

    async def _prompt(self, case: Case) -> str:
        """Return the prompt of a case, made ahead or now; raises as `render_template` does."""
        entry = self.prompts.get(id(case))  # kept: repeats judge a case several times
        if entry is not None:
            return entry[1]
        return await render_template(self.properties.prompt_template, _as_shown(case), self._steps)

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Ask the model about one output."""
        skipped = missing_reference(self.properties.reference_keys, case)
        if skipped:
            return skipped
        try:
            text = await self._prompt(case)
        except ExtractionFailed as failure:
            return Skipped("extraction_failed", str(failure))
        return await ask_verdict(self.judge, self._messages(text, context), context)

    async def known_verdicts(
        self, cases: Sequence[Case], context: EvaluationContext
    ) -> list[Evaluation | Skipped | None]:
        """Return the verdicts that the response cache holds, of cases that were looked at ahead."""
        keys = self.properties.reference_keys
        texts = {
            place: entry[1]
            for place, case in enumerate(cases)
            if (entry := self.prompts.get(id(case))) and missing_reference(keys, case) is None
        }
        prompts = [self._messages(text, context) for text in texts.values()]
        verdicts = await known_verdicts(self.judge, prompts, context)
        by_place = dict(zip(texts, verdicts, strict=True))
        return [by_place.get(place) for place in range(len(cases))]

    def _messages(self, text: str, context: EvaluationContext) -> tuple[Message, ...]:
        system = self.properties.system_prompt or _system_prompt(context.task.instruction)
        return Message("system", system), Message("user", text)


@lru_cache(maxsize=16)
def _system_prompt(instruction: str) -> str:
    return load_prompt("evaluators", "judge_system").render(task_instruction=instruction)


def _as_shown(case: Case) -> Case:
    """Return a case whose reference, as a judge sees it, names the other right outputs too."""
    references = with_others_in_words(case.reference)
    return case if references is case.reference else replace(case, reference=references)


def _open(record: EvalConfig) -> LlmJudgeEvaluator:
    settings = properties_of(record, LlmJudge)
    judge = JudgeModel(
        engine_model(StoredModel(settings.model_name, settings.model_provider)),
        settings.g_eval,
        (settings.thinking_instruction or None) if settings.g_eval else None,
        settings.max_tokens,
    )
    return LlmJudgeEvaluator(settings, judge)


KIND = EvaluatorKind("llm_judge", _open, LlmJudgeDefinition)
