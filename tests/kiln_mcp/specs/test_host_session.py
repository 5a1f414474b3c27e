"""The assistant is the model: a support bot's wish becomes two saved specs in ten calls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.llm import EngineSettings
from kiln_mcp.settings import Settings
from spec_bench import ANSWERS, open_spec_bench
from work_orders import Order, orders_in

WISH = "Replies are rude, and it promises refunds"


def reply(order: Order) -> object:
    """Answer an order as a careful assistant would."""
    properties = (order.schema or {}).get("properties", {})
    return next((answer for key, answer in ANSWERS if key in properties), {})


class Assistant:
    """A client whose model answers the orders that come, and counts its calls."""

    def __init__(self, client: Client, project: str) -> None:
        self._client = client
        self._project = project
        self.calls = 0

    async def build_spec(self, **arguments: object) -> Mapping[str, Any]:
        """Call the tool, answer all orders, and return the report."""
        answer = await self._call("build_spec", {"project": self._project, **arguments})
        while orders := orders_in(answer):
            answers = [{"id": order.id, "answer": reply(order)} for order in orders]
            answer = await self._call("answer_work_orders", {"answers": answers})
        jobs = answer.get("jobs")
        report: Mapping[str, Any] = jobs[0]["result"] if jobs else answer
        return report.get("result", report)

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        self.calls += 1
        result = await self._client.call_tool(tool, dict(arguments))
        assert not result.is_error, result.content
        return result.structured_content or {}


@pytest.mark.timeout(60)
async def test_a_wish_becomes_two_saved_specs_in_ten_calls_with_the_assistant_as_model(
    tmp_path: Path,
) -> None:
    async with open_spec_bench(tmp_path) as bench:
        project = bench.project
    home = tmp_path / "home"
    engine = EngineSettings(
        default_model="host",
        response_cache=home / "responses.sqlite",
        orders=home / "orders.sqlite",
        environment={},
    )
    settings = Settings(home=home, engine=engine, poll_s=0.05)
    catalogue = installed_catalogue()
    server = build_server(catalogue.open_workspace(settings), catalogue)
    with anyio.fail_after(50):
        async with Client(server) as client:
            assistant = Assistant(client, project)
            report = await assistant.build_spec(wish=WISH)
            assert [spec["name"] for spec in report["specs"]] == ["Polite: replies", "Promises"]
            assert report["model"]["model"] == "host"
            seen: list[str] = []
            while report.get("question"):
                question = report["question"]
                seen.append(question.get("output", ""))
                text = question.get("options", ["never"])[0]
                given = [{"question": question["id"], "answer": text}]
                report = await assistant.build_spec(answers=given)
            report = await assistant.build_spec(save=True)
    assert report["saved"]
    assert seen[0].startswith("Dear customer")
    assert assistant.calls <= 10, assistant.calls
    async with open_spec_bench(tmp_path) as bench:
        assert len(await bench.specs()) == 2
