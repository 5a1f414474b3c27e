"""Steps of our trainer and of plain peft in turns, and the peak memory of each alone.

    python benchmarks/tuning/side_by_side.py FOLDER [--steps 4] [--only ours|plain]

FOLDER is that of measure.py, whose base and data are used.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch
from plain_peft import PlainPeft

from kiln_mcp.tuning.local.trainer.base_model import find_device, load_model, load_tokenizer
from kiln_mcp.tuning.local.trainer.batches import epoch_order, loss_of, make_batch
from kiln_mcp.tuning.local.trainer.examples import read_conversations, tokenize
from kiln_mcp.tuning.local.work_folder import WorkFolder

RATE = 1e-3


class Ours:
    """The step of `Training`, without its records."""

    def __init__(self, folder: WorkFolder) -> None:
        request = folder.request()
        self.device, self.tokenizer = find_device(), load_tokenizer(request)
        self.model = load_model(request, self.device).train()
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=RATE, weight_decay=0.0)

    def step(self, conversations: list[list[dict[str, str]]]) -> float:
        examples = [tokenize(self.tokenizer, conversation) for conversation in conversations]
        total, count = loss_of(self.model, make_batch(examples, 0, self.device.name))
        loss = total / count
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", choices=("ours", "plain"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = WorkFolder(options.folder / "work")
    conversations = read_conversations(folder.path / "train.jsonl")
    trainers: dict[str, Ours | PlainPeft] = {}
    if options.only != "plain":
        trainers["ours"] = Ours(folder)
    if options.only != "ours":
        trainers["plain"] = PlainPeft(Path(folder.request().base), RATE)
    lengths = [len(json.dumps(conversation)) for conversation in conversations]
    batches = epoch_order(lengths, 8, seed=0, epoch=0)
    seconds = {name: list[float]() for name in trainers}
    losses = {name: list[float]() for name in trainers}
    for batch in batches[: options.steps + 1]:
        for name, trainer in trainers.items():
            rows = [conversations[place] for place in batch]
            started = time.process_time()
            losses[name].append(trainer.step(rows))

            seconds[name].append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    # The first step of each warms up.
    report = {
        name: {"cpu_seconds": seconds[name][1:], "losses": losses[name], "peak_gb": peak}
        for name in trainers
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
