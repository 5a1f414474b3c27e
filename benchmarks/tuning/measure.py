"""Train the embedded model on tickets, killed half-way, and measure it before and after.

    python benchmarks/tuning/measure.py FOLDER [--train 152] [--test 120] [--epochs 3]

FOLDER keeps what was done: the same call goes on after a stop.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from tickets import LABELS, SYSTEM, TEST, TRAIN, tickets

from kiln_mcp.llm import Engine, EngineSettings, Message, ModelError, ModelRequest
from kiln_mcp.llm.providers.tuned_files import TunedModel, add_tuned_model
from kiln_mcp.tuning.local.bases import find_base
from kiln_mcp.tuning.local.work_folder import LocalRequest, LossPoint, WorkFolder

PARAMETERS = {
    "batch_size": 8,
    "lora_rank": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "weight_decay": 0.0,
    "warmup_ratio": 0.1,
    "patience": 0,
    "max_tokens": 512,
    "threads": 1,
    "niceness": 0,
    "checkpoint_steps": 5,
    "most_hours": 24,
}


def conversation(text: str, label: str) -> list[dict[str, str]]:
    roles = ("system", "user", "assistant")
    return [{"role": r, "content": c} for r, c in zip(roles, (SYSTEM, text, label), strict=True)]


def prepare(folder: WorkFolder, rows: list[tuple[str, str]], epochs: int) -> LocalRequest:
    folder.path.mkdir(parents=True, exist_ok=True)
    base = find_base("embedded", folder.path.parent / "bases", None, {})
    request = LocalRequest(
        title="embedded",
        base=str(base.folder),
        gguf=str(base.gguf),
        parameters=PARAMETERS | {"epochs": epochs},
    )
    lines = [json.dumps({"conversations": conversation(*row)}) for row in rows]
    (folder.path / "train.jsonl").write_text("\n".join(lines) + "\n")
    folder.write("request.json", request)
    folder.watch()
    return request


def start(folder: WorkFolder, action: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "kiln_mcp.tuning.local.trainer", action, str(folder.path)]
    with (folder.path / "log.txt").open("ab") as log:
        return subprocess.Popen(command, stderr=log, stdout=log)


def train_and_kill(folder: WorkFolder) -> dict[str, object]:
    """Train; kill the process half-way between two checkpoints, and go on."""
    started, losses_before = time.perf_counter(), list[LossPoint]()
    process, is_killed = start(folder, "train"), False
    while process.poll() is None:
        time.sleep(1)
        folder.watch()
        state = folder.state()
        is_between = state.checkpoint >= state.steps / 2 - 5 and state.step >= state.checkpoint + 3
        if not is_killed and state.steps and is_between:
            process.send_signal(signal.SIGKILL)
            process.wait()
            losses_before = folder.losses()
            is_killed = True
            process = start(folder, "train")
    after = {point.step: point.loss for point in folder.losses()}
    again = [p for p in losses_before if p.step > state_checkpoint(losses_before)]
    pairs = [(p.step, p.loss, after[p.step]) for p in again]
    return {
        "seconds": time.perf_counter() - started,
        "killed_at": len(losses_before),
        "computed_twice": pairs,
        "same": all(before == now for _, before, now in pairs),
        "peak_gb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6,
        "first_loss": folder.losses()[0].loss,
        "last_loss": folder.losses()[-1].loss,
        "tokens_a_second": sum(p.tokens for p in folder.losses())
        / sum(p.seconds for p in folder.losses()),
    }


def state_checkpoint(points: list[LossPoint]) -> int:
    return len(points) - len(points) % int(PARAMETERS["checkpoint_steps"])


async def answers(
    model: str, rows: list[tuple[str, str]], tuned: Path, *, is_free: bool
) -> list[str]:
    settings = EngineSettings(
        tuned_models=tuned, environment={}, response_cache=tuned.with_name("responses.sqlite")
    )
    texts: list[str] = []
    async with Engine(settings) as engine:
        for text, _ in rows:
            messages = (Message("system", SYSTEM), Message("user", text))
            choices = () if is_free else LABELS
            request = ModelRequest(model, messages, choices=choices, max_tokens=24)
            try:
                answer = await engine.complete(request, asker="benchmark")
                texts.append(answer.text.strip())
            except ModelError:
                texts.append("")
    return texts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=152)
    parser.add_argument("--test", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    folder = WorkFolder(options.folder.absolute() / "work")
    learnt = tickets(TRAIN, options.train // 4, seed=1)
    held_out = tickets(TEST, options.test // 4, seed=2)
    assert not {text for text, _ in learnt} & {text for text, _ in held_out}
    results_file = options.folder / "results.json"
    request = prepare(folder, learnt, options.epochs)
    results: dict[str, object] = {"load": os.getloadavg()}
    if not (folder.adapter / "adapter.gguf").exists():
        assert start(folder, "examine").wait() == 0
        results["training"] = train_and_kill(folder)
        results_file.write_text(json.dumps(results, indent=1))
    tuned = options.folder / "tuned_models.json"
    model = TunedModel(
        "tuned/tickets", str(folder.adapter), str(request.gguf), "embedded", "llama.cpp"
    )
    add_tuned_model(tuned, model)
    for name, is_free in (("tuned/tickets", True), ("embedded", False), ("embedded", True)):
        texts = asyncio.run(answers(name, held_out, tuned, is_free=is_free))
        key = f"{name} {'free' if is_free else 'one of the labels'}"
        results[key] = [
            int(text == label) for text, (_, label) in zip(texts, held_out, strict=True)
        ]
        print(key, sum(results[key]) / len(texts), flush=True)
        results_file.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
