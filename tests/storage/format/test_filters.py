from storage import TaskOutput, TaskRun
from storage.format.filters import task_run_filter


def test_a_run_with_a_chain_of_thought_is_one_of_a_thinking_model() -> None:
    run = TaskRun(input="x", output=TaskOutput(output="y"))
    thinks = task_run_filter("thinking_model")
    assert not thinks(run)
    assert thinks(run.replace(intermediate_outputs={"chain_of_thought": "hm"}))
    assert thinks(run.replace(intermediate_outputs={"reasoning": "hm"}))
