"""The older judges of Kiln: a model that thinks through steps and then scores."""

from dataclasses import dataclass

from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorKind,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.model_verdicts import THINK_FIRST, JudgeModel, ask_verdict, numbered_list
from kiln_mcp.llm import Message
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.run_configs.model_names import StoredModel, engine_model
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import EvalConfig, StepsJudge


@dataclass(frozen=True, slots=True)
class StepsJudgeEvaluator:
    """Shows the model the steps with each output."""

    properties: StepsJudge
    judge: JudgeModel

    @property
    def model(self) -> str | None:
        """The engine's name of the model."""
        return self.judge.name

    @property
    def calls_per_item(self) -> int:
        """The model calls for one item."""
        return self.judge.calls_per_item

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Ask the model about one output."""
        parts = load_prompt("evaluators", "steps_judge").messages(
            task_description=self.properties.task_description or context.task.instruction,
            task_input=case.task_input,
            model_response=case.final_message,
            steps=numbered_list(self.properties.eval_steps),
        )
        prompt = tuple(Message(part.role, part.content) for part in parts)
        return await ask_verdict(self.judge, prompt, context)


def _open(record: EvalConfig) -> StepsJudgeEvaluator:
    is_weighted = record.config_type == "g_eval"
    model = engine_model(StoredModel(record.model_name or "", record.model_provider or ""))
    judge = JudgeModel(model, is_weighted, THINK_FIRST if is_weighted else None)
    return StepsJudgeEvaluator(properties_of(record, StepsJudge), judge)


KIND = EvaluatorKind("steps", _open)
