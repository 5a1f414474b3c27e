"""The trainer on a random model of two layers; needs the extra `tune`."""

import math
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bench import Agrees
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings, Message, ModelRequest
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.tuning.answers import TrainedModel, TrainingCheck
from kiln_mcp.tuning.local.trainer.base_model import Device, load_model, load_tokenizer
from kiln_mcp.tuning.local.trainer.batches import loss_of, make_batch
from kiln_mcp.tuning.local.trainer.checkpoints import load_checkpoint, save_checkpoint
from kiln_mcp.tuning.local.trainer.examination import examine
from kiln_mcp.tuning.local.trainer.examples import excerpt_of, tokenize
from kiln_mcp.tuning.local.trainer.faults import Unusable
from kiln_mcp.tuning.local.trainer.gguf_adapter import permuted_rows
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.trainer.steps import Training
from kiln_mcp.tuning.local.work_folder import LocalRequest, LossPoint, WorkFolder
from kiln_mcp.tuning.providers.registry import ProviderName
from kiln_mcp.tuning.service import train_model
from storage import Finetune, Project, ProjectStore, Task
from tiny_model import conversations, make_tiny_model, write_conversations

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(find_spec("peft") is None, reason="needs the extra `tune`"),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(600),
]
CPU = Device("cpu", "the processor", is_half=False, free_bytes=None)
PARAMETERS: dict[str, str | int | float | bool] = {
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.02,
    "lora_rank": 4,
    "lora_alpha": 8.0,
    "lora_dropout": 0.1,
    "weight_decay": 0.01,
    "warmup_ratio": 0.1,
    "patience": 0,
    "max_tokens": 64,
    "checkpoint_steps": 2,
    "threads": 1,
    "niceness": 0,
    "most_hours": 1.0,
    "qlora": "no",
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def work(place: Path, base: Path, count: int = 20, **changes: Any) -> WorkFolder:
    folder = WorkFolder(place)
    place.mkdir(parents=True, exist_ok=True)
    write_conversations(place / "train.jsonl", conversations(count))
    write_conversations(place / "validation.jsonl", conversations(44)[-4:])
    request = LocalRequest(
        title="tiny",
        base=str(base),
        parameters=PARAMETERS | changes,
        validation="validation.jsonl",
        seed=5,
    )
    folder.write("request.json", request)
    folder.watch()
    return folder


class StopAfter(threading.Event):
    """Is set once a training has done some steps."""

    def __init__(self, training: Training, steps: int) -> None:
        super().__init__()
        self._training, self._steps = training, steps

    def is_set(self) -> bool:
        return len(self._training.points) >= self._steps


def training_in(folder: WorkFolder) -> Training:
    request = folder.request()
    library("torch").set_num_threads(1)
    library("torch").manual_seed(request.seed)
    tokenizer = load_tokenizer(request)
    rows = [tokenize(tokenizer, row) for row in conversations(20)]
    held = [tokenize(tokenizer, row) for row in conversations(44)[-4:]]
    return Training(folder, request, load_model(request, CPU), CPU, rows, held, 0)


def losses(training: Training) -> list[tuple[float, float | None]]:
    return [(point.loss, point.validation) for point in training.points]


def test_only_what_the_assistant_says_and_its_end_is_learnt(tiny: Path) -> None:
    tokenizer = load_tokenizer(LocalRequest(title="", base=str(tiny), parameters={}))
    [row] = conversations(1)
    example = tokenize(tokenizer, row)
    learnt = [n for n, b in zip(example.ids, example.is_learnt, strict=True) if b]
    assert tokenizer.decode(learnt).split() == ["blue", "<|end|>"]
    assert excerpt_of(tokenizer, example).count("⟦") == 1
    thinks = [*row, {"role": "user", "content": "Think"}, {"role": "assistant", "content": "red"}]
    example = tokenize(tokenizer, thinks)
    learnt = [n for n, b in zip(example.ids, example.is_learnt, strict=True) if b]
    assert tokenizer.decode(learnt).split() == ["blue", "<|end|>", "red", "<|end|>"]


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("", "has no chat template"),
        ("{% for m in messages %}{{ m['content'] }} {% endfor %}x", "in another way than it opens"),
        ("<|end|>", "leaves nothing of the answer"),
    ],
)
def test_a_template_that_would_teach_nothing_is_refused(
    tiny: Path, template: str, sentence: str
) -> None:
    tokenizer = load_tokenizer(LocalRequest(title="", base=str(tiny), parameters={}))
    tokenizer.chat_template = template
    with pytest.raises(Unusable, match=sentence):
        tokenize(tokenizer, conversations(1)[0])


def test_the_loss_is_that_of_all_logits_without_what_is_filled_up(tiny: Path) -> None:
    torch = library("torch")
    request = LocalRequest(title="", base=str(tiny), parameters=PARAMETERS)
    tokenizer, model = load_tokenizer(request), load_model(request, CPU).eval()
    rows = conversations(3)
    rows[1][1]["content"] = "w1 w2 w3 w4 w5 w6 w7"
    examples = [tokenize(tokenizer, row) for row in rows]
    with torch.no_grad():
        total, count = loss_of(model, make_batch(examples, 0, "cpu"))
        expected = 0.0
        for example in examples:
            ids = torch.tensor([example.ids])
            chances = model(input_ids=ids).logits[0].log_softmax(-1)
            for place, is_learnt in enumerate(example.is_learnt):
                if is_learnt:
                    expected -= float(chances[place - 1, example.ids[place]])
    assert count == 6
    assert float(total) == pytest.approx(expected, rel=1e-4)


class Recorder:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def log(self, point: LossPoint) -> None:
        self.steps.append(point.step)

    def finish(self) -> None:
        """Nothing is left."""


def test_a_tracker_is_told_each_step_once(tiny: Path, tmp_path: Path) -> None:
    training, recorder = training_in(work(tmp_path / "told", tiny)), Recorder()
    training.tracker = recorder
    training.run(threading.Event())
    assert recorder.steps == [point.step for point in training.points]


def test_a_training_that_goes_on_from_a_checkpoint_has_the_same_losses(
    tiny: Path, tmp_path: Path
) -> None:
    whole = training_in(work(tmp_path / "whole", tiny))
    assert whole.run(threading.Event())
    assert losses(whole)[-1][0] < losses(whole)[0][0]
    folder = work(tmp_path / "parts", tiny)
    for stop in (3, 8):
        part = training_in(folder)
        assert not part.run(StopAfter(part, stop))
    rest = training_in(folder)
    assert rest.run(threading.Event())
    assert losses(rest) == losses(whole)
    weights = [
        (name, weight.tolist())
        for training in (rest, whole)
        for name, weight in training.model.named_parameters()
        if weight.requires_grad
    ]
    half = len(weights) // 2
    assert weights[:half] == weights[half:]


def test_a_process_that_is_killed_costs_one_checkpoint_and_no_other_loss(
    tiny: Path, tmp_path: Path
) -> None:
    long: dict[str, Any] = {"checkpoint_steps": 3, "epochs": 5000, "learning_rate": 0.001}
    folder = work(tmp_path / "killed", tiny, **long)
    command = [sys.executable, "-m", "kiln_mcp.tuning.local.trainer", "train", str(folder.path)]
    with folder.log.open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
        while folder.state().checkpoint == 0 and process.poll() is None:
            folder.watch()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    values = load_checkpoint(folder.path)
    assert values is not None
    checkpoint = len(values["points"])
    assert checkpoint >= folder.state().checkpoint > 0
    rest, whole = training_in(folder), training_in(work(tmp_path / "whole", tiny, **long))
    rest.run(StopAfter(rest, checkpoint + 4))
    whole.run(StopAfter(whole, checkpoint + 4))
    # Another process rounds otherwise. Other dropout would change the second digit.
    ours, theirs = ([point.loss for point in training.points] for training in (rest, whole))
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert len(rest.points) == checkpoint + 4


def test_a_disk_that_refuses_a_checkpoint_leaves_the_last_one_and_the_training_goes_on(
    tiny: Path, tmp_path: Path
) -> None:
    folder = work(tmp_path / "full", tiny)
    (folder.path / "checkpoint-4.pt").mkdir()
    (folder.path / "checkpoint-4.pt" / "in the way").touch()
    training = training_in(folder)
    training.run(StopAfter(training, 4))
    values = load_checkpoint(folder.path)
    assert values is not None
    assert len(values["points"]) == 2
    assert "could not be written" in folder.state().message


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"points": [str(step)]})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-2.pt",
        "checkpoint-3.pt",
    ]
    (tmp_path / "checkpoint-3.pt").write_bytes(b"garbage")
    values = load_checkpoint(tmp_path)
    assert values == {"points": ["2"]}


def test_a_training_that_diverges_stops_and_names_its_learning_rate(
    tiny: Path, tmp_path: Path
) -> None:
    training = training_in(work(tmp_path / "wild", tiny))
    training.take_step(training.new_optimizer())
    with library("torch").no_grad():
        next(weight for weight in training.model.parameters() if weight.requires_grad).fill_(
            math.nan
        )
    with pytest.raises(Unusable, match=r"it diverges: the loss of step 2 .*rate than 0\.02"):
        training.run(threading.Event())


def test_a_training_that_gets_no_better_ends_early_with_its_best_weights(
    tiny: Path, tmp_path: Path
) -> None:
    folder = work(tmp_path / "early", tiny, epochs=40, patience=2, learning_rate=0.05)
    training = training_in(folder)
    training.run(threading.Event())
    assert len(training.points) < training.steps
    held = [point.validation for point in training.points if point.validation is not None]
    assert training.validate() == pytest.approx(min(held), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"max_tokens": 5}, "line 1 of train.jsonl has 11 tokens, more than 5"),
        ({"qlora": "yes"}, "qlora needs a GPU"),
        ({"most_hours": 1e-12}, "more than most_hours allows"),
        ({"lora_rank": 50_000_000}, "GB of memory, and"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(
    tiny: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    folder = work(tmp_path / "look", tiny, **changes)
    try:
        refusal = examine(folder).refusal
    except Unusable as fault:
        refusal = str(fault)
    assert sentence in refusal


def test_a_look_counts_tokens_by_the_models_own_tokenizer(tiny: Path, tmp_path: Path) -> None:
    folder = work(tmp_path / "look", tiny)
    outlook = examine(folder)
    assert (outlook.tokens, outlook.learnt_tokens, outlook.longest) == (220, 40, 11)
    assert len(outlook.excerpts) == 3
    assert outlook.excerpts[0].rstrip().endswith("⟧")
    model = load_model(folder.request(), CPU)
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert outlook.new_parameters == trainable
    assert outlook.refusal == ""


def test_the_rows_of_a_head_are_interleaved_as_llama_cpp_wants_them() -> None:
    torch = library("torch")
    rows = torch.arange(16).reshape(16, 1)
    assert permuted_rows(rows, 2).flatten().tolist() == [
        0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15,
    ]  # fmt: skip


def items(rows: Sequence[list[dict[str, str]]]) -> list[DataItem]:
    return [DataItem(input=row[1]["content"], output=row[2]["content"]) for row in rows]


async def test_a_folder_is_trained_by_one_call_and_its_model_answers_with_its_prompt(
    tiny: Path, tmp_path: Path
) -> None:
    engine = EngineSettings(environment={}, tuned_models=tmp_path / "home" / "tuned_models.json")
    settings = Settings(home=tmp_path / "home", engine=engine, poll_s=0.2)
    store = await ProjectStore.create(tmp_path / "p", Project(name="P"))
    await store.save(Task(name="T", instruction="Answer"), parent=store.project)
    await store.close()
    project = str(tmp_path / "p")
    async with installed_catalogue().open_workspace(settings) as shared:
        workspace = replace(shared, person=Agrees())
        await add_data(workspace, project, items=items(conversations(40)))
        await split_data(workspace, project, "Right", seed=1)
        await split_data(workspace, project, "Right", freeze="F")
        values: dict[str, str | float] = {
            "learning_rate": 0.05,
            "epochs": 12,
            "patience": 0,
            "niceness": 0,  # so that a machine under load lets it end
        }
        arguments: dict[str, Any] = {
            "split": "F",
            "provider": ProviderName.LOCAL,
            "base_model": str(tiny),
            "name": "Tiny",
            "parameters": values,
        }
        check = await train_model(workspace, project, **arguments, only_check=True)
        assert isinstance(check, TrainingCheck)
        assert check.is_exact
        assert "⟦" in check.learnt[0]
        trained = await train_model(workspace, project, **arguments)
        assert isinstance(trained, TrainedModel)
        (task,) = await store_task(workspace, project)
        [record] = await (await workspace.open_project(project)).children(task, Finetune)
        assert (record.provider, record.latest_status) == ("local", "completed")
        messages = (Message("system", "Answer"), Message("user", "w0 w0 w2"))
        request = ModelRequest(trained.model, messages, max_tokens=4)
        answer = await workspace.engine.complete(request, asker="test")
        assert answer.text.split() == ["blue"]
        chosen = replace(request, choices=("red", "blue"))
        assert (await workspace.engine.complete(chosen, asker="test")).text == "blue"


async def store_task(workspace: Any, project: str) -> list[Task]:
    store = await workspace.open_project(project)
    return list(await store.children(store.project, Task))
