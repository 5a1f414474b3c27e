"""What a GPU gains: the same trainer on a Hugging Face model, in bfloat16 and with QLoRA.

    python benchmarks/tuning/gpu.py MODEL_FOLDER FOLDER

It measures, on the tickets of this folder (152 learnt, 120 held out), for LoRA in bfloat16 with
gradient checkpointing and for QLoRA in 4 bits:

- tokens a second, seconds in all, and the peak memory of the GPU, beside what was estimated;
- the loss of the first and the last step, and the accuracy on the held-out tickets;
- whether a training that is killed half-way has the same losses as one that is not.

It was not run: no GPU was at hand.
"""

import json
import sys
import threading
import time
from pathlib import Path

from measure import PARAMETERS, conversation
from tickets import TEST, TRAIN, tickets

from kiln_mcp.tuning.local.trainer.base_model import find_device, load_model, load_tokenizer
from kiln_mcp.tuning.local.trainer.examination import examine
from kiln_mcp.tuning.local.trainer.examples import tokenize
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.trainer.steps import Training
from kiln_mcp.tuning.local.work_folder import LocalRequest, WorkFolder


class StopAfter(threading.Event):
    """Is set once a training has done some steps."""

    def __init__(self, training: Training, steps: int) -> None:
        super().__init__()
        self.training, self.steps = training, steps

    def is_set(self) -> bool:
        return len(self.training.points) >= self.steps


def training_in(folder: WorkFolder, rows: list[list[dict[str, str]]]) -> Training:
    request = folder.request()
    library("torch").manual_seed(request.seed)
    tokenizer, device = load_tokenizer(request), find_device()
    examples = [tokenize(tokenizer, row) for row in rows]
    return Training(folder, request, load_model(request, device), device, examples, [], 0)


def accuracy(training: Training, held_out: list[tuple[str, str]]) -> float:
    torch, tokenizer = library("torch"), load_tokenizer(training.request)
    right = 0
    training.model.eval()
    for text, label in held_out:
        prompt = tokenizer.apply_chat_template(
            conversation(text, label)[:-1], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to("cuda")
        with torch.no_grad():
            out = training.model.generate(**ids, max_new_tokens=8, do_sample=False)
        answer = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        right += answer.strip() == label
    return right / len(held_out)


def measure(base: str, place: Path, qlora: str) -> dict[str, object]:
    torch = library("torch")
    rows = [conversation(*row) for row in tickets(TRAIN, 38, seed=1)]
    runs: dict[str, Training] = {}
    parameters = PARAMETERS | {"epochs": 3, "qlora": qlora, "learning_rate": 2e-4}
    request = LocalRequest(title=base, base=base, parameters=parameters)
    report: dict[str, object] = {}
    for name, stops in (("whole", ()), ("resumed", (20,))):
        folder = WorkFolder(place / f"{name}-{qlora}")
        folder.path.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"conversations": row}) for row in rows]
        (folder.path / "train.jsonl").write_text("\n".join(lines) + "\n")
        folder.write("request.json", request)
        report |= {"estimate": examine(folder).sentence}
        torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        for steps in stops:
            part = training_in(folder, rows)
            part.run(StopAfter(part, steps))
            del part
        runs[name] = training_in(folder, rows)
        runs[name].run(threading.Event())
        report[f"{name}_seconds"] = time.perf_counter() - started
    points = runs["whole"].points
    return report | {
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "tokens_a_second": sum(p.tokens for p in points) / sum(p.seconds for p in points),
        "losses": [points[0].loss, points[-1].loss],
        "same_losses": [p.loss for p in points] == [p.loss for p in runs["resumed"].points],
        "accuracy": accuracy(runs["whole"], tickets(TEST, 30, seed=2)),
    }


def main() -> None:
    if not library("torch").cuda.is_available():
        print(__doc__)
        sys.exit("There is no GPU here.")
    base, place = sys.argv[1:]
    for qlora in ("no", "yes"):
        print(json.dumps({"qlora": qlora, **measure(base, Path(place), qlora)}, indent=1))


if __name__ == "__main__":
    main()
