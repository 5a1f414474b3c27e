"""The process that examines or trains: `python -m kiln_mcp.tuning.local.trainer train FOLDER`."""

import os
import sys
import threading
from pathlib import Path
from typing import Final

from filelock import Timeout

from kiln_mcp.tuning.local.loss_curves import draw_losses
from kiln_mcp.tuning.local.model_card import write_card
from kiln_mcp.tuning.local.outlook import Outlook
from kiln_mcp.tuning.local.trainer.base_model import (
    convert,
    find_device,
    load_model,
    load_tokenizer,
)
from kiln_mcp.tuning.local.trainer.checkpoints import delete_checkpoints
from kiln_mcp.tuning.local.trainer.examination import examine, learning_rate_of
from kiln_mcp.tuning.local.trainer.examples import read_conversations, tokenize
from kiln_mcp.tuning.local.trainer.faults import Unusable
from kiln_mcp.tuning.local.trainer.gguf_adapter import write_gguf_adapter
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.trainer.steps import Training
from kiln_mcp.tuning.local.trainer.trackers import open_tracker
from kiln_mcp.tuning.local.work_folder import LocalRequest, LocalState, WorkFolder
from storage.atomic_write import write_atomically
from storage.errors import StorageError

_LOOK_S: Final = 0.5
_USUAL_NICENESS: Final = 10
"""A training takes what other work leaves."""


def main(arguments: list[str]) -> None:
    """Examine a training and print its outlook, or train."""
    action, path = arguments
    folder = WorkFolder(Path(path))
    if action == "examine":
        print(_outlook(folder).model_dump_json(), flush=True)  # noqa: T201 - its answer
        return
    try:
        with folder.lock():
            _train_or_tell(folder)
    except Timeout:  # another process trains here
        return


def _outlook(folder: WorkFolder) -> Outlook:
    try:
        request = folder.request()
        with folder.base_lock(request):
            convert(request)
        _set_up(request)
        return examine(folder)
    except Unusable as fault:
        return Outlook(refusal=str(fault))


def _train_or_tell(folder: WorkFolder) -> None:
    """Train; what stops it for good becomes its state."""
    if hasattr(os, "nice"):
        os.nice(int(folder.request().parameters.get("niceness", _USUAL_NICENESS)))
    try:
        _train(folder)
    except (Unusable, StorageError) as fault:
        state = folder.state().model_dump() | {"state": "failed", "message": str(fault)}
        folder.write("state.json", LocalState.model_validate(state))


def _set_up(request: LocalRequest) -> None:
    if request.is_base_here:  # peft would look for the base on the net when it saves an adapter
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch = library("torch")
    torch.set_num_threads(int(request.parameters["threads"]))
    torch.manual_seed(request.seed)


def _train(folder: WorkFolder) -> None:
    request = folder.request()
    stop = threading.Event()
    threading.Thread(target=_look, args=(folder, stop), daemon=True).start()
    _set_up(request)
    tokenizer, device = load_tokenizer(request), find_device()
    model = load_model(request, device)
    width = int(model.config.get_text_config().hidden_size)
    parameters = request.parameters | {"learning_rate": learning_rate_of(request, width)}
    request = request.model_copy(update={"parameters": parameters})
    files = [folder.path / name for name in (request.train, request.validation) if name]
    learnt, *validation_sets = [
        [tokenize(tokenizer, conversation) for conversation in read_conversations(file)]
        for file in files
    ]
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    rest = validation_sets[0] if validation_sets else []
    tracker = open_tracker(request, folder.path.name)
    training = Training(folder, request, model, device, learnt, rest, filler, tracker=tracker)
    try:
        is_done = training.run(stop)
    finally:
        tracker.finish()
    if is_done:
        _finish(training)


def _look(folder: WorkFolder, stop: threading.Event) -> None:
    """End at once if the training is cancelled; ask it to stop if nobody watches any more."""
    is_watched = folder.request().is_watched
    while not stop.wait(_LOOK_S):
        if folder.is_cancelled:
            os._exit(0)
        if is_watched and not folder.is_watched:
            stop.set()


def _finish(training: Training) -> None:
    """Save the adapter with its card, and as a GGUF file if the base is one."""
    folder, request = training.folder, training.request
    _write_adapter(training)
    points = training.points
    texts = {
        "README.md": write_card(folder.path.name, request, len(training.examples), points),
        "losses.svg": draw_losses(points, training.steps),
        "losses.jsonl": (folder.path / "losses.jsonl").read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        write_atomically(folder.adapter / name, text.encode())
    state = folder.state().model_dump() | {"state": "completed"}
    folder.write("state.json", LocalState.model_validate(state))
    delete_checkpoints(folder.path)


def _write_adapter(training: Training) -> None:
    """Write the new weights.

    Raises:
        Unusable: The disk refused; the last checkpoint stays.
    """
    adapter, gguf = training.folder.adapter, training.request.gguf
    try:
        training.model.save_pretrained(str(adapter))
        if gguf is not None:
            write_gguf_adapter(adapter, Path(gguf), adapter / "adapter.gguf")
    except (OSError, library("safetensors").SafetensorError) as error:
        raise Unusable(
            f"its adapter could not be written ({error}). Free some space and resume its job: it "
            "goes on from its last checkpoint"
        ) from error


if __name__ == "__main__":
    main(sys.argv[1:])
