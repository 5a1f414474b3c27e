"""Steps of our trainer and of plain peft in turns, each in a process of its own.

    python benchmarks/tuning/side_by_side.py FOLDER [--steps 7] [--base FOLDER]

Both learn the tickets of measure.py from the embedded model's weights, or a Hugging Face folder:
the same batches, one thread, float32. The first step of each warms up. It prints the median wall
and CPU seconds of a step of each, their ratio, the median of the ratios of neighbouring steps, and
the peak memory of each process.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Protocol

from measure import prepare, start
from tickets import TRAIN, tickets

from kiln_mcp.tuning.local.work_folder import WorkFolder

RATE = 1e-3
BATCH = 8
NAMES = ("ours", "plain")


class Trainer(Protocol):
    def step(self, places: list[int]) -> float: ...


class Ours:
    """The trainer as it is, with its records of losses."""

    def __init__(self, folder: WorkFolder) -> None:
        from kiln_mcp.tuning.local.trainer.base_model import (
            find_device,
            load_model,
            load_tokenizer,
        )
        from kiln_mcp.tuning.local.trainer.examples import read_conversations, tokenize
        from kiln_mcp.tuning.local.trainer.steps import Training

        request = folder.request()
        parameters = request.parameters | {"learning_rate": RATE, "warmup_ratio": 0.0}
        request = request.model_copy(update={"parameters": parameters})
        tokenizer, device = load_tokenizer(request), find_device()
        rows = read_conversations(folder.path / "train.jsonl")
        examples = [tokenize(tokenizer, row) for row in rows]
        model = load_model(request, device)
        self.training = Training(folder, request, model, device, examples, [], 0)
        self.optimizer = self.training.new_optimizer()

    def step(self, places: list[int]) -> float:
        self.training.take_step(self.optimizer)
        return self.training.points[-1].loss


def serve(name: str, folder: WorkFolder) -> None:
    """Take a step for each line of the input, and say how long it took; then the peak memory."""
    import torch
    from plain_peft import PlainPeft

    from kiln_mcp.tuning.local.trainer.examples import read_conversations

    torch.set_num_threads(1)
    torch.manual_seed(0)
    conversations = read_conversations(folder.path / "train.jsonl")
    trainer: Trainer = (
        Ours(folder)
        if name == "ours"
        else PlainPeft(Path(folder.request().base), conversations, RATE)
    )
    print("{}", flush=True)
    for line in sys.stdin:
        started, cpu = time.perf_counter(), time.process_time()
        loss = trainer.step(json.loads(line))
        row = {
            "wall_s": time.perf_counter() - started,
            "cpu_s": time.process_time() - cpu,
            "loss": loss,
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }
        print(json.dumps(row), flush=True)


def batches_of(folder: WorkFolder) -> list[list[int]]:
    """Return the batches of our trainer's first epoch, as it makes them."""
    from kiln_mcp.tuning.local.trainer.base_model import load_tokenizer
    from kiln_mcp.tuning.local.trainer.batches import epoch_order
    from kiln_mcp.tuning.local.trainer.examples import read_conversations, tokenize

    tokenizer = load_tokenizer(folder.request())
    rows = read_conversations(folder.path / "train.jsonl")
    lengths = [len(tokenize(tokenizer, row).ids) for row in rows]
    return epoch_order(lengths, BATCH, folder.request().seed, 0)


def ask(process: "subprocess.Popen[str]", line: str | None) -> dict[str, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    if line is not None:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    return json.loads(process.stdout.readline())


def compare(folder: WorkFolder, steps: int) -> dict[str, object]:
    command = [sys.executable, __file__, str(folder.path.parent), "--serve"]
    processes = {
        name: subprocess.Popen(
            [*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in NAMES
    }
    for process in processes.values():
        ask(process, None)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for number, batch in enumerate(batches_of(folder)[: steps + 1]):
        for name in NAMES if number % 2 else NAMES[::-1]:
            rows[name].append(ask(processes[name], json.dumps(batch)))
    for process in processes.values():
        process.communicate()
    report: dict[str, object] = {"steps": steps}
    for kind in ("wall_s", "cpu_s"):
        ours, plain = ([row[kind] for row in rows[name][1:]] for name in NAMES)
        report[kind] = {
            "ours": round(median(ours), 3),
            "plain": round(median(plain), 3),
            "ratio_of_medians": round(median(ours) / median(plain), 3),
            "median_of_ratios": round(median(a / b for a, b in zip(ours, plain, strict=True)), 3),
            "all": {"ours": ours, "plain": plain},
        }
    for key in ("peak_gb", "loss"):
        report[key] = {name: [row[key] for row in rows[name]][-1] for name in NAMES}
    return report


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--base", type=Path, help="a Hugging Face folder in place of the embedded")
    parser.add_argument("--serve", choices=NAMES)
    options = parser.parse_args()
    folder = WorkFolder(options.folder.absolute() / "side_by_side")
    if options.serve:
        serve(options.serve, folder)
        return
    request = prepare(folder, tickets(TRAIN, 38, seed=1), epochs=1)
    if options.base:
        base = {"base": str(options.base.absolute()), "gguf": None}
        folder.write("request.json", request.model_copy(update=base))
    assert start(folder, "examine").wait() == 0
    print(json.dumps(compare(folder, options.steps), indent=1))


if __name__ == "__main__":
    main()
