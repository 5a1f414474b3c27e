"""The records of evaluators."""

from kiln_mcp.evaluators.arguments import CodeCheck, Evaluator, ModelJudge
from kiln_mcp.evaluators.checks import check_logic
from kiln_mcp.evaluators.code import check_code
from kiln_mcp.run_configs.model_names import stored_model
from kiln_mcp.run_configs.templates import check_template
from kiln_mcp.workbench.prompts import load_prompt
from storage import EvalConfig, LlmJudge

REFERENCE_KEY = "reference_answer"


async def make_evaluator(name: str, evaluator: Evaluator, model: str) -> EvalConfig:
    """Return an evaluator's record.

    Raises:
        UnusableTemplate: Its expression or pattern is not valid.
    """
    if not isinstance(evaluator, ModelJudge):
        if isinstance(evaluator, CodeCheck):
            await check_code(evaluator.code)
        else:
            await check_logic(evaluator)
        return EvalConfig.model_validate(
            {
                "name": name,
                "config_type": "v2",
                "properties": evaluator.model_dump(mode="json"),
            }
        )
    template = load_prompt(
        "evaluators", "llm_judge_reference" if evaluator.with_reference else "llm_judge"
    ).text
    await check_template(template)
    stored = stored_model(model)
    return EvalConfig(
        name=name,
        config_type="v2",
        properties=LlmJudge(
            model_name=stored.name,
            model_provider=stored.provider,
            prompt_template=template,
            reference_keys=(REFERENCE_KEY,) if evaluator.with_reference else (),
            judge_instructions=tuple(evaluator.steps),
            g_eval=evaluator.weighted,
        ),
    )
