"""Which instance of the embedded model takes which request; the instances are fakes."""

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from kiln_mcp.llm import Message, ModelRequest
from kiln_mcp.llm.providers.embedded_instances import (
    LONG_BEGINNING,
    MOST_SKIPS,
    Instances,
    Server,
    beginning_of,
)
from kiln_mcp.llm.providers.forced_generation import ChunkHandler


class Fake:
    """An instance that answers only after the test lets it."""

    def handle_chat_completions(
        self, body: dict[str, Any], callback: ChunkHandler | None = None
    ) -> dict[str, Any]:
        raise NotImplementedError

    def handle_completions(
        self, body: dict[str, Any], callback: ChunkHandler | None = None
    ) -> dict[str, Any]:
        raise NotImplementedError


class Desk:
    """Notes which instance took which request; requests of a letter wait for its gate."""

    def __init__(self, capacity: int) -> None:
        self.gates = {letter: threading.Event() for letter in "abf"}
        self.taken: list[tuple[int, str]] = []
        self.servers: list[Server] = []
        self.instances = Instances(self.start, self.ask, capacity)

    def start(self) -> Server:
        server = Fake()
        self.servers.append(server)
        return server

    def ask(self, server: Server, request: ModelRequest, handler: ChunkHandler) -> None:
        text = str(request.messages[-1].content)
        self.gates[text[0]].wait(10)
        if text == "fails":
            raise ValueError("it fails")
        self.taken.append((self.servers.index(server), text))

    def open(self) -> None:
        for gate in self.gates.values():
            gate.set()

    def send(self, names: Sequence[str]) -> list[Future[float]]:
        return [self.instances.submit(request(name), lambda _: False) for name in names]


def request(name: str) -> ModelRequest:
    """Return a request; all of one letter begin alike."""
    beginning = name[0] * LONG_BEGINNING
    return ModelRequest("embedded", (Message("system", beginning), Message("user", name)))


def test_what_begins_alike_goes_to_the_instance_that_has_read_it() -> None:
    desk = Desk(2)
    work = desk.send(["a1", "b1", "b2", "a2", "b3", "a3"])
    desk.gates["a"].set()
    assert all(work[place].result(10) >= 0 for place in (0, 3, 5))
    first = desk.taken[0][0]
    assert desk.taken == [(first, "a1"), (first, "a2"), (first, "a3")]
    desk.open()
    assert all(future.result(10) >= 0 for future in work)


def test_one_instance_takes_what_it_knows_before_what_came_earlier() -> None:
    desk = Desk(1)
    work = desk.send(["a1", "b1", "a2", "b2", "a3"])
    desk.open()
    assert all(future.result(10) >= 0 for future in work)
    assert [name for _, name in desk.taken] == ["a1", "a2", "a3", "b1", "b2"]


def test_a_request_is_overtaken_so_often_and_no_more() -> None:
    desk = Desk(1)
    work = desk.send(["a0", "b0", *(f"a{n}" for n in range(1, 2 * MOST_SKIPS))])
    desk.open()
    assert all(future.result(10) >= 0 for future in work)
    assert [name for _, name in desk.taken].index("b0") == MOST_SKIPS + 1


def test_a_failure_reaches_its_own_request_and_the_instance_goes_on() -> None:
    desk = Desk(1)
    desk.open()
    failed, good = desk.send(["fails", "a1"])
    with pytest.raises(ValueError, match="it fails"):
        failed.result(10)
    assert good.result(10) >= 0
    assert len(desk.servers) == 1


def test_an_instance_that_cannot_start_fails_the_request() -> None:
    def start() -> Server:
        raise OSError("no memory")

    instances = Instances(start, Desk(1).ask, 1)
    future = instances.submit(request("a"), lambda _: False)
    with pytest.raises(OSError, match="no memory"):
        future.result(10)


def test_a_cancelled_request_is_not_asked_and_closing_cancels_the_rest() -> None:
    desk = Desk(1)
    first, second, third = desk.send(["a1", "a2", "a3"])
    assert second.cancel()
    desk.instances.close()
    desk.open()
    assert first.result(10) >= 0
    with pytest.raises(CancelledError):
        third.result(10)
    assert [name for _, name in desk.taken] == ["a1"]


def test_short_beginnings_and_raw_texts_are_no_reason_to_wait() -> None:
    short = ModelRequest("embedded", (Message("system", "Read."), Message("user", "x")))
    raw = ModelRequest("embedded", (Message("raw", "a" * 1000),))
    assert beginning_of(short) == beginning_of(raw) == ""
    assert beginning_of(request("a1")) == beginning_of(request("a2")) != beginning_of(request("b"))
