"""A command decides on each output, confined, with files of the project."""

import sys
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from kiln_mcp.evaluators.definitions import read_definition
from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext, Skipped, check_of
from kiln_mcp.evaluators.registry import evaluator_of, is_tried, kind_name, make_evaluator
from kiln_mcp.llm import Engine
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from storage import Eval, EvalConfig, EvalOutputScore, Task
from storage.isolation.protection import protection
from storage.records.workbench_checks import CommandCheck, WorkbenchCheck

EVAL = Eval(
    name="Right",
    output_scores=(EvalOutputScore(name="Right", type="pass_fail"),),
    eval_set_filter_id="tag::test",
)
CONTEXT = EvaluationContext(
    cast("Engine", None), EVAL, Task(name="Answer", instruction="Answer."), "test"
)


async def record_of(project: Path, **settings: JsonValue) -> EvalConfig:
    definition = read_definition("create_evaluator", "command_check", {}, settings)
    record = await make_evaluator(None, definition, "any")
    stored = EvalConfig.model_validate_json(record.model_dump_json())
    check = check_of(stored, CommandCheck)
    assert check.project is None
    loaded = check.model_copy(update={"project": str(project)})
    return stored.replace(properties=WorkbenchCheck(kiln_mcp_check=loaded))


async def verdict(record: EvalConfig, output: str, **case: object) -> Evaluation | Skipped:
    given = Case("in", output, **case)  # pyright: ignore[reportArgumentType]
    return await evaluator_of(record).evaluate(given, CONTEXT)


async def test_the_exit_code_of_a_command_passes_or_fails_an_output(tmp_path: Path) -> None:
    record = await record_of(tmp_path, command="grep -q right {output}")
    good, bad = await verdict(record, "all right"), await verdict(record, "wrong")
    assert isinstance(good, Evaluation)
    assert isinstance(bad, Evaluation)
    assert (good.values, bad.values) == ({"right": 1.0}, {"right": 0.0})
    assert (kind_name(record), is_tried(record)) == ("command_check", True)
    assert bad.verdict == "exit code 1"


async def test_a_script_of_the_project_reads_the_output_and_the_reference(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "same.py").write_text(
        "import sys\nfrom pathlib import Path\n"
        "output, right = (Path(name).read_text() for name in sys.argv[1:])\n"
        "print('compared', file=sys.stderr)\nsys.exit(output != right)",
        encoding="utf-8",
    )
    record = await record_of(
        tmp_path,
        command=["python", "checks/same.py", "{output}", "{reference}"],
        files=["checks/same.py"],
    )
    good = await verdict(record, "a", reference={"reference_answer": "a"})
    bad = await verdict(record, "b", reference={"reference_answer": "a"})
    assert isinstance(good, Evaluation)
    assert isinstance(bad, Evaluation)
    assert (good.values, bad.values) == ({"right": 1.0}, {"right": 0.0})
    assert bad.verdict == "exit code 1: compared"
    missing = await verdict(record, "b")
    assert isinstance(missing, Skipped)
    assert missing.reason == "missing_reference_key"


async def test_a_number_that_a_command_prints_is_scored_by_its_direction(tmp_path: Path) -> None:
    record = await record_of(tmp_path, command=["wc", "-c"], result="number", best=0, worst=10)
    halfway = await verdict(record, "12345")
    assert isinstance(halfway, Evaluation)
    assert (halfway.values, halfway.number) == ({"right": 0.5}, 5.0)
    assert halfway.texts["kiln_mcp_number"] == "5.0"
    limited = await record_of(tmp_path, command=["wc", "-c"], result="number", at_most=4)
    too_long = await verdict(limited, "12345")
    assert isinstance(too_long, Evaluation)
    assert too_long.values == {"right": 0.0}


@pytest.mark.parametrize(
    ("settings", "output", "reason"),
    [
        ({"command": "sleep 60", "timeout_seconds": 1}, "x", "took longer than 1 s"),
        ({"command": "sh {output}"}, "kill -SEGV $$", "was ended by signal 11"),
        ({"command": ["echo", "many"], "result": "number", "at_most": 1}, "x", "instead of a num"),
    ],
)
async def test_a_command_that_says_nothing_of_an_output_gives_it_no_score(
    tmp_path: Path, settings: dict[str, JsonValue], output: str, reason: str
) -> None:
    record = await record_of(tmp_path, **settings)
    with pytest.raises(EvalError, match=reason):
        await verdict(record, output)


async def test_an_output_that_is_executed_reaches_nothing_of_the_person(tmp_path: Path) -> None:
    if gaps := protection().gaps:
        pytest.skip(f"here commands can {', '.join(gaps)}")
    project = tmp_path / "project"
    project.mkdir()
    (project / "named.txt").write_text("named", encoding="utf-8")
    (project / "secret.txt").write_text("secret", encoding="utf-8")
    record = await record_of(project, command="sh {output}", files=["named.txt"])
    reads = await verdict(record, "cat named.txt && touch mine")
    assert isinstance(reads, Evaluation)
    assert reads.values == {"right": 1.0}
    for attack in (
        f"cat {project}/secret.txt",
        "echo x > named.txt",
        f"rm -f {project}/named.txt",
        f"echo x > {tmp_path}/trace",
        "cat ~/.ssh/id_rsa /etc/passwd",
    ):
        refused = await verdict(record, attack)
        assert isinstance(refused, Evaluation)
        assert refused.values == {"right": 0.0}, attack
    assert sorted(path.name for path in project.iterdir()) == ["named.txt", "secret.txt"]
    assert (project / "named.txt").read_text(encoding="utf-8") == "named"
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "output.txt", "a/../../x"])
async def test_a_file_outside_the_project_makes_no_evaluator(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvalError, match=r"does not lie in the project|has the name of a file"):
        await record_of(tmp_path, command="true", files=[name])


async def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "outside").write_text("x", encoding="utf-8")
    (project / "link").symlink_to(tmp_path / "outside")
    record = await record_of(project, command="cat link", files=["link"])
    with pytest.raises(EvalError, match="is not in the project's folder"):
        await verdict(record, "x")


async def test_a_program_that_is_not_installed_is_named(tmp_path: Path) -> None:
    record = await record_of(tmp_path, command="true", programs=["no-such-program"])
    with pytest.raises(EvalError, match="'no-such-program' of the command is not in PATH"):
        await verdict(record, "x")


async def test_python_is_the_one_that_runs_this_program(tmp_path: Path) -> None:
    code = f"import pydantic, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    record = await record_of(tmp_path, command=["python", "-c", code])
    result = await verdict(record, "x")
    assert isinstance(result, Evaluation)
    assert result.values == {"right": 1.0}, result.verdict
