from dataclasses import replace

from kiln_mcp.advice.inventory import EvalInventory, TaskInventory, next_steps, weaknesses
from kiln_mcp.advice.service import first_names
from kiln_mcp.spec_texts.check_hints import check_hints
from storage import Prompt

SOUND = EvalInventory(
    name="Correctness",
    evaluators=1,
    test_items=100,
    golden_items=40,
    rated_items=40,
    one_sided=False,
    results=200,
    result_run_configs=2,
    model_judges=1,
    has_agreement=False,
)
TASK = TaskInventory(name="Support", runs=300, specs=1, run_configs=2, prompts=1, evals=(SOUND,))


def tools(task: TaskInventory) -> list[str]:
    """Return the tools of the next steps of a task."""
    return [step.tool for step in next_steps(task)]


def test_a_task_with_a_rated_eval_of_enough_items_has_no_weakness() -> None:
    assert weaknesses(TASK) == []


def test_a_task_without_evals_is_told_to_say_what_is_good() -> None:
    bare = replace(TASK, evals=(), specs=0)
    assert weaknesses(bare) == ["Support: nothing is measured; it has no eval."]
    assert tools(bare) == ["build_spec"]
    assert tools(replace(bare, specs=1)) == ["create_evaluator"]


def test_results_of_a_judge_that_nobody_checked_are_called_so() -> None:
    unrated = replace(SOUND, rated_items=0)
    faults = weaknesses(replace(TASK, evals=(unrated,)))
    assert faults == [
        "Correctness: none of its 40 golden items is rated: nobody checked its judges.",
        "Correctness: 2 run configs were scored by a judge that nobody has checked.",
    ]
    assert tools(replace(TASK, evals=(unrated,))) == ["draw_items_to_label"]


def test_ratings_that_are_all_alike_are_called_so() -> None:
    faults = weaknesses(replace(TASK, evals=(replace(SOUND, one_sided=True),)))
    assert any("constant answer" in fault for fault in faults)


def test_a_small_test_split_is_called_small_and_an_empty_one_empty() -> None:
    small, empty = replace(SOUND, test_items=20), replace(SOUND, test_items=0)
    assert "20 items" in weaknesses(replace(TASK, evals=(small,)))[0]
    assert "empty" in weaknesses(replace(TASK, evals=(empty,)))[0]


def test_each_stage_leads_to_the_next_call() -> None:
    def step(**changes: object) -> list[str]:
        return tools(replace(TASK, evals=(replace(SOUND, **changes),)))

    assert step(evaluators=0) == ["create_evaluator"]
    assert step(test_items=0) == ["add_data", "generate_data", "split_data"]
    assert step(golden_items=0, rated_items=0, results=0) == ["run_eval"]
    assert step(golden_items=0, rated_items=0) == ["improve_prompt"]
    assert step() == ["check_judge"]
    assert tools(replace(TASK, run_configs=0)) == ["create_run_config"]


def test_checks_that_ask_no_model_are_never_to_be_compared_with_labels() -> None:
    check = replace(SOUND, model_judges=0, rated_items=0)
    task = replace(TASK, evals=(check,))
    assert weaknesses(task) == []
    assert tools(task) == ["improve_prompt"]
    assert tools(replace(TASK, evals=(replace(check, rated_items=5),))) == ["improve_prompt"]
    assert tools(replace(TASK, evals=(replace(check, results=0),))) == ["run_eval"]


def test_a_judge_that_was_compared_with_labels_is_not_sent_there_again() -> None:
    task = replace(TASK, evals=(replace(SOUND, has_agreement=True),))
    assert tools(task) == ["improve_prompt"]


def test_what_misleads_is_a_weakness_and_is_mended_before_anything_is_measured() -> None:
    def advice(**changes: object) -> tuple[str, list[str]]:
        task = replace(TASK, evals=(replace(SOUND, has_agreement=True, **changes),))
        return " ".join(weaknesses(task)), tools(task)

    fault, steps = advice(shared_inputs=7)
    assert "7 inputs of its test part are also in the parts that prompts learn from" in fault
    assert steps == ["report_data"]
    fault, steps = advice(label_faults=("They were entered too fast.",), shared_inputs=7)
    assert "its labels can measure no judge: They were entered too fast." in fault
    assert steps == ["draw_items_to_label"]
    fault, steps = advice(stale_judges=("Polite",), changed_spec="Tone")
    assert "its judge 'Polite' is stale" in fault
    assert steps == ["build_spec"]


def test_a_judge_that_was_only_compared_is_to_be_certified_beside_the_search() -> None:
    uncertified = replace(SOUND, has_agreement=True, uncertified_judges=("Polite",))
    task = replace(TASK, evals=(uncertified,))
    assert weaknesses(task) == [
        "Correctness: its judge 'Polite' has no certificate, so how far it agrees with people is "
        "an estimate from labels that may have been chosen."
    ]
    assert [(step.tool, (step.arguments or {}).get("target")) for step in next_steps(task)] == [
        ("improve_prompt", None),
        ("check_judge", 0.85),
    ]
    not_compared = replace(uncertified, has_agreement=False)
    assert weaknesses(replace(TASK, evals=(not_compared,))) == []


def test_of_many_names_the_first_ten_are_said_and_how_many_more() -> None:
    prompts = [Prompt(name=f"prompt {number}", prompt="x") for number in range(12)]
    said = first_names(prompts)
    assert (len(said), said[0], said[-1]) == (11, "prompt 0", "… and 2 more")
    assert first_names(prompts[:10])[-1] == "prompt 9"


def test_a_clause_that_can_be_executed_is_suggested_until_a_check_measures_the_task() -> None:
    [hint] = check_hints(["The script runs without an error."])
    task = replace(TASK, check_hints=(hint,))
    first_steps = next_steps(replace(task, evals=()))
    assert first_steps[0].arguments == {"type": "command_check"}
    assert tools(task) == [*tools(TASK), "create_evaluator"]
    with_check = replace(SOUND, evaluators=SOUND.model_judges + 1)
    assert tools(replace(task, evals=(with_check,))) == tools(replace(TASK, evals=(with_check,)))
