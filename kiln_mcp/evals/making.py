"""Making the records of this room: run configs, evals and evaluators."""

import re
import unicodedata

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.evals.arguments import (
    CodeCheck,
    Evaluator,
    ModelJudge,
    NewEval,
    RunConfigDefinition,
    ScoreDefinition,
)
from kiln_mcp.evals.checks import check_logic
from kiln_mcp.evals.code import check_code
from kiln_mcp.evals.expressions import check_template
from kiln_mcp.evals.items import REFERENCE_KEY
from kiln_mcp.evals.model_names import stored_model
from kiln_mcp.evals.prompt_texts import PromptText
from kiln_mcp.workbench.prompts import load_prompt
from storage import (
    BasePrompt,
    Eval,
    EvalConfig,
    EvalOutputScore,
    KilnAgentProperties,
    LlmJudge,
    Project,
    Task,
    TaskRunConfig,
    TaskRunSplit,
    new_id,
)


def make_run_config(
    project: Project,
    task: Task,
    wanted: RunConfigDefinition,
    model: str,
    text: PromptText,
    record_id: str | None = None,
) -> TaskRunConfig:
    """Return a run config whose prompt is frozen into it, so that it never changes.

    Args:
        project: The project.
        task: The task.
        wanted: Its name and settings.
        model: The model's name.
        text: The prompt.
        record_id: Its id; None for a new one.
    """
    identity = record_id or new_id()
    stored = stored_model(model)
    return TaskRunConfig(
        id=identity,
        name=wanted.name,
        run_config_properties=KilnAgentProperties(
            model_name=stored.name,
            model_provider_name=stored.provider,
            prompt_id=f"task_run_config::{project.id}::{task.id}::{identity}",
            temperature=wanted.temperature,
            structured_output_mode="json_schema" if task.output_json_schema else "default",
        ),
        prompt=BasePrompt(
            name=wanted.name, prompt=text.prompt, chain_of_thought_instructions=text.thinking
        ),
    )


def make_eval(name: str, wanted: NewEval) -> Eval:
    """Return an eval; without filters its items are the runs with a tag made from its name.

    `with_items` chooses the filters that are not given.
    """
    slug = tag_of(name)
    scores = wanted.scores or [ScoreDefinition(name=name[:32].strip())]
    test = wanted.test_filter or f"tag::eval_{slug}"
    named = {"test": test, "train": wanted.train_filter, "val": wanted.val_filter}
    return Eval(
        name=name,
        output_scores=tuple(
            EvalOutputScore(name=s.name, instruction=s.instruction, type=s.type) for s in scores
        ),
        # Both, so that older programs find their items too.
        eval_set_filter_id=test,
        splits={part: TaskRunSplit(filter_id=chosen) for part, chosen in named.items() if chosen},
        eval_configs_filter_id=wanted.golden_filter or f"tag::golden_{slug}",
    )


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
        "evals", "llm_judge_reference" if evaluator.with_reference else "llm_judge"
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


def plan_of_evaluator(evaluator: Evaluator, name: str, eval_name: str) -> Plan:
    """Return what a person is asked before an evaluator is saved; only code needs a yes."""
    code = evaluator.code if isinstance(evaluator, CodeCheck) else ""
    runs = " Its code can run on this machine:" if code else ""
    return Plan(f"Add the evaluator {name!r} to the eval {eval_name!r}.{runs}", code=code)


def tag_of(name: str) -> str:
    """Return a name as part of a tag: lower case letters and digits, joined by underscores."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"\W+", "_", plain).strip("_") or "eval"
