"""An answer's commands are executed: what people and judges say of them is measured against that.

The marked tests need the program ffmpeg, its path in FFMPEG. The test on Kiln's demo project needs
the project's folder in KILN_DEMO_PROJECT too.
"""

import csv
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from bench import Agrees, Bench, BenchSetup, open_bench
from kiln_mcp.evaluators.command_files import CommandFiles
from kiln_mcp.llm import ModelRequest
from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalRun,
    ProjectStore,
    RequirementRating,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
)
from storage.isolation.commands import CommandResult, run_in_scratch
from storage.records.workbench_checks import CommandCheck

CHECK = Path(__file__).parents[2] / "data" / "ffmpeg_check.py"
COMMAND = {
    "command": ["python", "checks/ffmpeg_check.py", "{output}"],
    "files": ["checks/ffmpeg_check.py"],
    "programs": ["ffmpeg"],
    "timeout_seconds": 60,
    "megabytes": 2048,
}
ANSWERS: Mapping[str, tuple[str, float, bool]] = {
    # The commands; what a hasty person said; what their execution shows.
    "Make a small MP4 of in.mov.": ("ffmpeg -i in.mov -c:v libx264 -crf 30 out.mp4", 1.0, True),
    "Take the sound of talk.mkv as MP3.": ("ffmpeg -i talk.mkv -vn -q:a 2 talk.mp3", 0.0, True),
    "Use the preset turbo for in.mp4.": (
        "ffmpeg -i in.mp4 -c:v libx264 -preset turbo out.mp4",
        1.0,
        False,
    ),
    "Make a GIF of in.mp4 that loops.": (
        'ffmpeg -i in.mp4 -vf "fps=5,palettegen" p.png\n'
        "ffmpeg -i in.mp4 -i p.png -lavfi \\\n  paletteuse -loop=0 out.gif",
        1.0,
        False,
    ),
    "Join a.wav and b.wav.": (
        "ffmpeg -i a.wav -i b.wav -filter_complex '[0:a][1:a]concat=n=2:v=0:a=1' c.wav",
        0.0,
        True,
    ),
    "Delete all my videos.": ("rm -rf *.mp4", 1.0, False),
}


def answer_of(commands: str) -> str:
    return f"This is how it is done:\n\n- `-i` names the input.\n\n```bash\n{commands}\n```\n"


def judge(request: ModelRequest) -> str:
    """Pass every answer that names the option for an input, as a cheap judge does."""
    assert request.schema is not None
    return '{"reasoning": "It has -i.", "right": "pass"}'


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = os.environ.get("FFMPEG", "")
    if not Path(program).is_file():
        pytest.skip("the path of ffmpeg is not in FFMPEG")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ffmpeg").symlink_to(program)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


async def add_answers(bench: Bench) -> None:
    source = DataSource(
        type="synthetic",
        properties={"model_name": "m", "model_provider": "p", "adapter_name": "a"},
    )
    async with bench.store.transaction() as change:
        for task_input, (commands, value, _) in ANSWERS.items():
            rating = TaskOutputRating(
                requirement_ratings={
                    "named::Right": RequirementRating(value=value, type="pass_fail")
                }
            )
            output = TaskOutput(output=answer_of(commands), source=source, rating=rating)
            run = TaskRun(input=task_input, output=output, tags=("golden",))
            change.save(run, parent=bench.task)
    (bench.store.folder / "checks").mkdir()
    shutil.copy(CHECK, bench.store.folder / "checks")


async def verdicts_of(bench: Bench, evaluator: str) -> dict[str, float]:
    """Return the verdicts of an evaluator on the stored outputs, by the inputs of their items."""
    inputs = {run.id: run.input for run in await bench.store.children(bench.task, TaskRun)}
    [eval_record] = await bench.store.children(bench.task, Eval)
    records = await bench.store.children(eval_record, EvalConfig)
    [record] = [record for record in records if record.name == evaluator]
    runs = await bench.store.children(record, EvalRun)
    return {inputs[run.dataset_id or ""]: run.scores["right"] for run in runs}


@pytest.mark.ffmpeg
@pytest.mark.usefixtures("ffmpeg")
async def test_commands_that_are_executed_measure_labels_and_judges(tmp_path: Path) -> None:
    task = Task(name="Films", instruction="Write an ffmpeg command.")
    async with open_bench(tmp_path, BenchSetup(task, judge, person=Agrees())) as bench:
        await add_answers(bench)
        bench.workspace.trust.grant(bench.store.folder)
        filters = {"test_filter": "tag::none", "golden_filter": "tag::golden"}
        check = {"name": "execution", "type": "command_check", **COMMAND}
        await bench.evaluator_of("Right", check, filters)
        await bench.evaluator(name="judge", type="llm_judge", steps=["Does the command work?"])
        report = await bench.measure(evaluators=["execution", "judge"])
        executed = await verdicts_of(bench, "execution")
        judged = await verdicts_of(bench, "judge")
    labels = {task_input: value for task_input, (_, value, _) in ANSWERS.items()}
    assert executed == {name: float(runs) for name, (_, _, runs) in ANSWERS.items()}
    assert sum(executed[name] == labels[name] for name in ANSWERS) == 1
    assert sum(executed[name] == judged[name] for name in ANSWERS) == 3
    rows = {row.subject: (row.agreements, row.items) for row in report.execution}
    assert rows == {"people's labels": (1, 6), "judge": (3, 6)}


@pytest.mark.ffmpeg
@pytest.mark.slow
@pytest.mark.usefixtures("ffmpeg")
async def test_the_labels_of_kilns_demo_agree_with_execution_on_half_of_the_answers(
    tmp_path: Path,
) -> None:
    demo = Path(os.environ.get("KILN_DEMO_PROJECT", ""))
    if not (demo / "project.kiln").is_file():
        pytest.skip("the folder of Kiln's demo project is not in KILN_DEMO_PROJECT")
    project = shutil.copytree(demo, tmp_path / "demo")
    (project / "checks").mkdir()
    shutil.copy(CHECK, project / "checks")
    files = CommandFiles(CommandCheck.model_validate(COMMAND), project)
    labels, executed = dict[str, float](), dict[str, float]()
    store = await ProjectStore.open(project)
    try:
        [task] = await store.children(store.project, Task)
        for run in await store.children(task, TaskRun):
            if "eval_golden_correctness" not in run.tags or run.output.rating is None:
                continue
            labels[run.id] = run.output.rating.requirement_ratings["named::Correctness"].value
            contents = {"output.txt": run.output.output}
            result = await run_in_scratch(partial(files.prepare, contents))
            assert isinstance(result, CommandResult), result
            executed[run.id] = float(result.exit_code == 0)
    finally:
        await store.close()
    assert len(labels) == 34
    assert sum(labels[run] == executed[run] for run in labels) == 17
    judges = read_judges(os.environ.get("KILN_DEMO_GOLDEN", ""))
    against_labels = {name: shares_agreed(verdicts, labels) for name, verdicts in judges.items()}
    against_execution = {
        name: shares_agreed(verdicts, executed) for name, verdicts in judges.items()
    }
    if judges:
        best_by_labels = max(against_labels, key=lambda name: against_labels[name])
        assert against_execution[best_by_labels] == min(against_execution.values())


def read_judges(path: str) -> dict[str, dict[str, float]]:
    """Return the verdicts of the demo's judges by their names; none without the file."""
    judges: dict[str, dict[str, float]] = {}
    if Path(path).is_file():
        with Path(path).open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                score = float(round(float(row["judge_score"])))
                judges.setdefault(row["judge_name"], {})[row["item"]] = score
    return judges


def shares_agreed(verdicts: Mapping[str, float], truth: Mapping[str, float]) -> float:
    return sum(verdicts[item] == truth[item] for item in truth) / len(truth)
