"""A tuned Hugging Face model, run by transformers in a process of its own."""

import json
import os
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

import anyio
import anyio.to_thread

from kiln_mcp.llm.errors import ModelError, RejectedRequest, ServerFailure
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.prices import FREE, with_cost
from kiln_mcp.llm.providers.openai_format import chat_body, read_chat_answer
from kiln_mcp.llm.providers.tuned_files import TunedModel

LIBRARIES: Final = ("torch", "transformers", "peft", "safetensors")
_PROGRAM: Final = str(Path(__file__).with_name("folder_program.py"))
_LOAD_S: Final = 600.0
"""The longest that a large model may take to be loaded."""
_VARIABLES: Final = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH"})


class FolderModel:
    """Answers by the base model's folder with the adapter over it; loaded at the first request."""

    def __init__(self, model: TunedModel, timeout_s: float) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def check_ready(self) -> None:
        """Check that what runs the model is installed.

        Raises:
            ModelError: It is not.
        """
        missing = [name for name in LIBRARIES if find_spec(name) is None]
        if missing:
            raise ModelError(
                "The tuned model {name} needs {missing}, which are not installed. Install them "
                "with pip install 'kiln-mcp-server[tune]', or name another model.",
                name=self._model.name,
                missing=missing,
            )

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request. A schema is asked for by training alone, and checked by the engine.

        Raises:
            ModelError: The model cannot be loaded, or its process broke down.
        """
        if request.raw_text is not None:
            raise RejectedRequest(request.model, "a tuned model answers conversations alone")
        body = chat_body(request, request.model, choices_in_words=False)
        body["choices"] = list(request.choices)
        started = time.perf_counter()
        try:
            with anyio.fail_after(self._timeout_s + (0 if self._process else _LOAD_S)):
                reply = await anyio.to_thread.run_sync(self._ask, body, abandon_on_cancel=True)
        except TimeoutError as error:
            self._end()
            reason = f"it took longer than {self._timeout_s:g} s"
            raise ServerFailure(request.model, reason) from error
        seconds = time.perf_counter() - started
        return with_cost(read_chat_answer(request.model, reply, latency_s=seconds), FREE)

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._turn:
            process = self._process
            if process is None or process.poll() is not None:
                process = self._process = self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(body).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except (OSError, ValueError) as error:
                raise self._breakdown() from error
        if not line:
            raise self._breakdown()
        reply = cast("dict[str, Any]", json.loads(line))
        if "refusal" in reply:
            raise RejectedRequest(self._model.name, str(reply["refusal"]))
        return reply

    def _breakdown(self) -> ServerFailure:
        return ServerFailure(
            self._model.name,
            "its process ended; it may have needed more memory than there is, or its folder is "
            "damaged",
        )

    def _start(self) -> "subprocess.Popen[bytes]":
        variables = {
            name: value
            for name, value in os.environ.items()
            if name in _VARIABLES or name.startswith(("CUDA_", "HIP_", "ROCR_", "NVIDIA_"))
        }
        return subprocess.Popen(
            [sys.executable, "-X", "utf8", "-P", _PROGRAM, self._model.base, self._model.adapter],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=variables | {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    async def close(self) -> None:
        """End the process."""
        await anyio.to_thread.run_sync(self._end)
