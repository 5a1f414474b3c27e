"""Let versions of a judge judge labelled items; nothing is saved but the calls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.evaluator import EvaluationContext, Skipped
from kiln_mcp.judging.judge_versions import JudgeVersion, with_version
from kiln_mcp.judging.refinement.labelled_items import ItemVerdict, LabelledItem
from kiln_mcp.llm.errors import BadAnswer, ContextOverflow, ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.workbench.workspace import Workspace

_ASKER = "evals/improve judge"


class VersionTrials:
    """Judges the same items with one version after the other.

    Args:
        workspace: Asks models.
        judge: The judge that is improved, with its eval.
        items: The labelled items.

    Attributes:
        failures: Items that some version gave no usable answer for.
    """

    def __init__(
        self, workspace: Workspace, judge: Measurement, items: Sequence[LabelledItem]
    ) -> None:
        self._workspace = workspace
        self._judge = judge
        self.items = items
        self.calls_per_item = judge.evaluator.calls_per_item
        self.failures = 0

    async def run(self, version: JudgeVersion) -> Mapping[str, ItemVerdict]:
        """Return a version's verdicts by item; those that it is shown as examples are left out.

        Raises:
            ModelError: The first that no other version would avoid: a server is down, …
        """
        record = with_version(self._judge.evaluator_record, version, "version", "0" * 12)
        judge = replace(self._judge, evaluator_record=record)
        evaluator = judge.evaluator
        engine = self._workspace.engine
        context = EvaluationContext(engine, judge.eval_record, judge.task, _ASKER)
        examples = {example.item for example in version.examples}
        items = [item for item in self.items if item.id not in examples]
        verdicts: dict[str, ItemVerdict] = {}
        errors: list[ModelError] = []

        async def judge_item(item: LabelledItem) -> None:
            try:
                value = await evaluator.evaluate(item.case, context)
            except (BadAnswer, ContextOverflow, EvalError) as error:
                self.failures += 1
                verdicts[item.id] = ItemVerdict({}, str(error))
            except ModelError as error:
                errors.append(error)
                scope.cancel()
            else:
                verdicts[item.id] = (
                    ItemVerdict({}, value.detail)
                    if isinstance(value, Skipped)
                    else ItemVerdict(value.values, value.verdict)
                )

        with anyio.CancelScope() as scope:
            models = [evaluator.model] if evaluator.model else []
            await for_each(items, judge_item, engine.width(models))
        if errors:
            raise errors[0]
        return verdicts
