"""A person's session about a support bot: from a complaint to a judge that can be trusted."""

import csv
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from aiohttp import web
from mcp import Client
from mcp.client.context import ClientRequestContext

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.llm import EngineSettings, ServerSettings
from kiln_mcp.settings import Settings
from work_orders import Order, orders_in

MOST_CALLS = 25
PROMISES = "An answer that mentions a refund fails."
REFUSES = "An answer that says that no refund can be promised passes."
POLITE = "An answer that blames the customer fails."
ANSWERS = (
    "Your parcel is on its way and arrives tomorrow, number {n}.",
    "We will refund you today, order {n}.",
    "I cannot promise a refund for order {n}, but I will ask my colleagues.",
    "That is your own fault, order {n} was complete.",
)


def words_of(text: str) -> Mapping[str, str]:
    """Return what the person says of an answer, by score."""
    promises = "We will refund" in text
    return {
        "No refund promises": "fail" if promises else "pass",
        "Tone": "fail" if "your own fault" in text else "pass",
    }


def think(text: str) -> dict[str, Any]:
    """Judge an answer by the steps of the prompt, or rewrite the steps."""
    if "You mend the steps" in text:
        edit = {"operation": "add", "block": "s1", "text": REFUSES, "reason": "refusals"}
        return {"failure": "It fails answers that refuse a refund.", "edits": [edit]}
    answer = text.split("<model_response>")[1].split("</model_response>")[0]
    if POLITE in text:
        return {"reasoning": "Tone.", "tone": "fail" if "own fault" in answer else "pass"}
    refuses = REFUSES in text and "cannot promise" in answer
    fails = "refund" in answer and not refuses
    return {"reasoning": "Refunds.", "no_refund_promises": "fail" if fails else "pass"}


@pytest.fixture
async def model_server() -> AsyncGenerator[str]:
    """Serve the scripted model on the loopback; yield its address."""

    async def reply(request: web.Request) -> web.Response:
        body = await request.json()
        text = "\n".join(str(message["content"]) for message in body["messages"])
        message = {"role": "assistant", "content": json.dumps(think(text))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
            | {"choices": [choice], "usage": usage}
        )

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "bot", "object": "model"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", reply)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    yield f"http://127.0.0.1:{port}/v1"
    await runner.cleanup()


@dataclass
class Session:
    """An assistant's calls of tools, counted; it answers the work orders that come with answers."""

    client: Client
    project: str
    calls: Counter[str] = field(default_factory=Counter[str])

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, answer what the host is asked, and return the tool's result."""
        self.calls[tool] += 1
        result = await self.client.call_tool(tool, arguments)
        content: dict[str, Any] = result.structured_content or {}
        assert not result.is_error, result.content
        while orders := orders_in(content):
            content = await self._answer(orders)
            jobs: list[dict[str, Any]] = content.get("jobs", [])
            content |= jobs[0].get("result", {}) if jobs else {}
        assert content.get("status") not in {"running", "needs_approval"}, content
        return content

    async def _answer(self, orders: list[Order]) -> dict[str, Any]:
        self.calls["answer_work_orders"] += 1
        answers = [{"id": order.id, "answer": think("\n".join(order.messages))} for order in orders]
        result = await self.client.call_tool("answer_work_orders", {"answers": answers})
        return result.structured_content or {}

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool about the project."""
        return await self.call(tool, project=self.project, **arguments)

    async def label(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Pass on what the person says of all items of a batch, for both specs."""
        labels = [
            {"item": item["item"], "score": score, "label": word}
            for item in batch["items"]
            for score, word in words_of(item["output"]).items()
        ]
        return await self.ask(
            "label_items", eval=["No refund promises", "Tone"], labels=labels, rater="ann"
        )


@asynccontextmanager
async def open_session(folder: Path, model: str, address: str) -> AsyncGenerator[Session]:
    """Open a session of an assistant whose person agrees to what they are asked."""

    async def agree(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"agree": True})

    home = folder / "home"
    engine = EngineSettings(
        default_model=model,
        response_cache=home / "responses.sqlite",
        orders=home / "orders.sqlite",
        servers=(ServerSettings("local", address, input_usd_per_million=0.1),),
        environment={},
    )
    settings = Settings(home=home, engine=engine, poll_s=0.05)
    catalogue = installed_catalogue()
    server = build_server(catalogue.open_workspace(settings), catalogue)
    with anyio.fail_after(120):
        async with Client(server, elicitation_callback=agree) as client:
            yield Session(client, str(folder / "support"))


def write_answers(file: Path) -> None:
    """Write what the bot said to 60 customers."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["input", "output", "model"])
        for n in range(60):
            kind = (0, 0, 1, 2, 2, 3)[n % 6]
            table.writerow([f"Where is order {n}?", ANSWERS[kind].format(n=n), "gpt-4o"])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["local/bot", "host"])
async def test_a_complaint_becomes_a_rate_a_better_judge_and_a_statement_about_trust(
    tmp_path: Path, model_server: str, model: str
) -> None:
    write_answers(tmp_path / "answers.csv")
    async with open_session(tmp_path, model, model_server) as session:
        await session.call(
            "create_project",
            name="Support",
            folder=session.project,
            instruction="Answer customers. Promise no refunds, and be polite.",
        )
        await session.ask(
            "add_data", file=str(tmp_path / "answers.csv"), outputs="answers", tags=["prod"]
        )
        for name, step in (("No refund promises", PROMISES), ("Tone", POLITE)):
            await session.ask(
                "create_evaluator", eval=name, type="llm_judge", steps=[step], model=model
            )
        rate = await session.ask("run_eval", eval="No refund promises", outputs="tag::prod")
        (row,) = rate["rates"]
        assert row["low"] < row["rate"] < row["high"]
        batch = await session.ask(
            "draw_items_to_label",
            eval=["No refund promises", "Tone"],
            count=12,
        )
        saved = await session.label(batch)
        assert saved["saved"] == 24
        listed = await session.ask("check_judge", eval="No refund promises", show="disagreements")
        assert listed["disagreements"]
        assert all("cannot promise" in row["output"] for row in listed["disagreements"])
        better = await session.ask(
            "improve_judge",
            eval="No refund promises",
            model=model,
            concerns="It fails answers that refuse a refund.",
        )
        assert better["disagreements_after"] == 0
        fresh = await session.ask(
            "draw_items_to_label",
            eval=["No refund promises", "Tone"],
            count=20,
            purpose="certificate",
            evaluator=better["winner"],
        )
        await session.label(fresh)
        trust = await session.ask(
            "check_judge",
            eval="No refund promises",
            evaluators=[better["winner"]],
            purpose="certificate",
            make_current=True,
        )
        # Which outputs are drawn, and with what weights, is chance.
        assert trust["rows"][0]["low"] > 0.6
        again = await session.ask("run_eval", eval="No refund promises", outputs="tag::prod")
        (row,) = again["rates"]
        assert row["low"] < 1 / 6 < row["high"]
    assert session.calls.total() <= MOST_CALLS, session.calls
