"""Instances of the embedded model, and which of them takes which request.

Each instance caches the prompts that it has read. So a request goes to the instance that knows how
it begins, and requests that begin alike wait for it while another instance reads something else.
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

from kiln_mcp.llm.messages import ModelRequest
from kiln_mcp.llm.providers.forced_generation import ChatServer, ChunkHandler

PROMPT_CACHE_MIB: Final = 256
REMEMBERED: Final = 12
"""Beginnings that an instance is taken to have in its prompt cache."""
LONG_BEGINNING: Final = 400
"""Characters from which a beginning is worth waiting for."""
MOST_SKIPS: Final = 16
"""Requests that may overtake another one."""
FULL: Final = 1.0


class Server(ChatServer, Protocol):
    """The part of `xllamacpp.Server` that is used here."""

    def handle_completions(
        self, body: dict[str, Any], callback: ChunkHandler | None = None
    ) -> dict[str, Any]:
        """Continue a text, whole or in chunks."""
        ...


Ask = Callable[[Server, ModelRequest, ChunkHandler], None]
"""Lets a server answer a request, and passes the chunks on."""


def start_server(path: Path, context_tokens: int, adapter: Path | None) -> Server:
    """Load a model.

    Args:
        path: Its GGUF file.
        context_tokens: The longest request and answer together.
        adapter: LoRA weights that lie over it; None for none.
    """
    # OpenMP reads this when the library loads; busy waiting starves other processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xllamacpp

    library = cast("Any", xllamacpp)
    params = library.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context_tokens
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 1
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.warmup = False
    params.fit_params = False
    params.ui = False
    params.verbosity = -1
    if adapter is not None:
        params.lora_adapters = [library.CommonAdapterLoraInfo(str(adapter), FULL)]
    return cast("Server", library.Server(params))


@dataclass(slots=True, eq=False)
class _Instance:
    server: Server
    beginnings: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


@dataclass(slots=True, eq=False)
class _Waiting:
    request: ModelRequest
    handler: ChunkHandler
    beginning: str
    seconds: Future[float]
    skips: int = 0


class Instances:
    """Instances of one model, started when first needed.

    Args:
        start: Starts one.
        ask: Lets one answer.
        capacity: The most of them.
    """

    def __init__(self, start: Callable[[], Server], ask: Ask, capacity: int) -> None:
        self._start = start
        self._ask = ask
        self._threads = ThreadPoolExecutor(capacity, thread_name_prefix="embedded")
        self._lock = threading.Lock()
        self._all: list[_Instance] = []
        self._free: list[_Instance] = []
        self._waiting: list[_Waiting] = []

    def submit(self, request: ModelRequest, handler: ChunkHandler) -> Future[float]:
        """Have a request answered in a thread, its chunks passed to the handler.

        Returns:
            The model's own seconds, without its start and without waiting.
        """
        entry = _Waiting(request, handler, beginning_of(request), Future())
        with self._lock:
            self._waiting.append(entry)
        self._threads.submit(self._serve)
        return entry.seconds

    def close(self) -> None:
        """Take no further request; those that wait are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting = list(self._waiting)
        # They stay in the list: a thread that is about to take one finds it cancelled.
        for entry in waiting:
            entry.seconds.cancel()

    def _serve(self) -> None:
        """Answer one of the requests that wait: there are as many of them as calls of this."""
        try:
            instance = self._take_instance()
        except Exception as error:  # noqa: BLE001 - the request has it
            with self._lock:
                entry = self._waiting.pop(0)
            if entry.seconds.set_running_or_notify_cancel():
                entry.seconds.set_exception(error)
            return
        entry = self._take_request(instance)
        try:
            if entry.seconds.set_running_or_notify_cancel():
                self._answer(instance.server, entry)
        finally:
            with self._lock:
                self._free.append(instance)

    def _answer(self, server: Server, entry: _Waiting) -> None:
        started = time.perf_counter()
        try:
            self._ask(server, entry.request, entry.handler)
        except BaseException as error:  # noqa: BLE001 - the request has it
            entry.seconds.set_exception(error)
        else:
            entry.seconds.set_result(time.perf_counter() - started)

    def _take_instance(self) -> _Instance:
        """Return a free instance, one that knows a request that waits if there is one.

        There are as many threads as instances, so one is free or can be started.
        """
        with self._lock:
            beginnings = {entry.beginning for entry in self._waiting}
            self._free.sort(key=lambda instance: not beginnings.isdisjoint(instance.beginnings))
            if self._free:
                return self._free.pop()
        instance = _Instance(self._start())
        with self._lock:
            self._all.append(instance)
        return instance

    def _take_request(self, instance: _Instance) -> _Waiting:
        """Return the request that an instance answers next."""
        with self._lock:
            foreign = {b for other in self._all if other is not instance for b in other.beginnings}
            own = set(instance.beginnings)
            place = _place_of_next(self._waiting, own, foreign)
            for entry in self._waiting[:place]:
                entry.skips += 1
            entry = self._waiting.pop(place)
            if entry.beginning:
                if entry.beginning in own:
                    instance.beginnings.remove(entry.beginning)
                instance.beginnings.append(entry.beginning)
            return entry


def _place_of_next(waiting: Sequence[_Waiting], own: set[str], foreign: set[str]) -> int:
    """Return the place of the request that an instance takes.

    One that was overtaken often comes first, then one whose beginning it knows, then one that no
    other instance knows, then the oldest.

    Args:
        waiting: Requests, the oldest first; not empty.
        own: Beginnings that the instance knows.
        foreign: Beginnings that others know.
    """
    ranks = [
        (entry.skips < MOST_SKIPS, entry.beginning not in own, entry.beginning in foreign, place)
        for place, entry in enumerate(waiting)
    ]
    return min(ranks)[-1]


def beginning_of(request: ModelRequest) -> str:
    """Return what comes before a request's last message; "" if it is short."""
    if request.raw_text is not None:
        return ""
    earlier = [(message.role, str(message.content)) for message in request.messages[:-1]]
    text = json.dumps(earlier)
    return text if len(text) >= LONG_BEGINNING else ""
