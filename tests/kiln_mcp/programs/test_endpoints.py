"""HTTP endpoints as run configs; a server on the loopback answers."""

from pathlib import Path

import pytest
from aiohttp import web

from kiln_mcp.run_configs.service import create_run_config
from local_endpoint import serve
from program_bench import open_program_bench
from storage.errors import Refusal, WorkbenchError


def says_a(_: int) -> web.Response:
    return web.json_response({"answer": {"text": "A"}, "usd": 0.5})


async def test_an_endpoint_gets_input_and_prompt_and_its_field_is_the_output(
    tmp_path: Path,
) -> None:
    async with serve(says_a) as server, open_program_bench(tmp_path, {"a": "A"}) as bench:
        settings = {"output_field": "answer.text", "cost_field": "usd"}
        await bench.create(f"{server.address}/ask", prompt="Be loud.", settings=settings)
        report = await bench.run()
        assert report.table[0].mean == 1
        assert server.bodies == [{"input": "a", "prompt": "Be loud.", "sample": 0, "seed": 0}]
        usage = (await bench.only_run()).usage
        assert usage is not None
        assert usage.cost == 0.5


async def test_body_and_address_are_filled_in(tmp_path: Path) -> None:
    async with serve(says_a) as server, open_program_bench(tmp_path, {"a b/c&d": "A"}) as bench:
        body = {
            "q": "Say: {input}",
            "options": {"system": "{prompt}", "n": "{sample}"},
            "tags": ["{input}", 1],
        }
        settings = {"body": body, "output_field": "answer.text"}
        url = f"PUT {server.address}/ask?q={{input}}"
        await bench.create(url, prompt="Be loud.", settings=settings)
        await bench.run()
        options = {"system": "Be loud.", "n": 0}
        tags = ["a b/c&d", 1]
        assert server.bodies == [{"q": "Say: a b/c&d", "options": options, "tags": tags}]
        assert server.queries == [{"q": "a b/c&d"}]


async def test_a_header_takes_its_secret_from_a_variable(tmp_path: Path) -> None:
    environment = {"BOT_TOKEN": "a-secret-token"}
    async with (
        serve(says_a) as server,
        open_program_bench(tmp_path, {"a": "A"}, environment=environment) as bench,
    ):
        settings = {
            "headers": {"Authorization": "Bearer ${BOT_TOKEN}"},
            "output_field": "answer.text",
        }
        await bench.create(server.address + "/ask", settings=settings)
        await bench.run()
        assert server.headers[0]["Authorization"] == "Bearer a-secret-token"
        assert bench.files_with("a-secret-token") == []


@pytest.mark.parametrize("status", [200, 302, 400])
async def test_an_answer_that_echoes_a_headers_secret_is_kept_without_it(
    tmp_path: Path, status: int
) -> None:
    def echo(_: int) -> web.Response:
        headers = {"Location": "/?t=hush-hush"} if status == 302 else {}
        text = '{"got": "Bearer hush-\\u0068ush"}' if status == 200 else "I got hush-hush"
        return web.Response(status=status, text=text, headers=headers)

    environment = {"BOT_LOGIN": "Bearer hush-hush"}
    async with (
        serve(echo) as server,
        open_program_bench(tmp_path, {"a": "A"}, environment=environment) as bench,
    ):
        settings = {"headers": {"Authorization": "${BOT_LOGIN}"}, "output_field": "got"}
        await bench.create(server.address + "/ask", settings=settings)
        if status == 200:
            await bench.run()
            assert await bench.outputs() == {"a": "…"}
        else:
            with pytest.raises(WorkbenchError) as refusal:
                await bench.run()
            assert "hush-hush" not in str(refusal.value)
        assert server.headers[0]["Authorization"] == "Bearer hush-hush"
        assert bench.files_with("hush-hush") == []


async def test_a_secret_in_a_header_is_refused(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        settings = {"headers": {"X-Api-Key": "sk-123"}}
        with pytest.raises(Refusal, match="would put a secret into the project"):
            await bench.create("http://127.0.0.1:1/ask", settings=settings)


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (400, "bad input", "answered 400: bad input"),
        (500, "broken", "answered 500: broken"),
        (302, "", "sent us on to"),
        (200, "", "answered with nothing"),
        (200, "x" * 3000, "answered more than 1000 bytes"),
    ],
)
async def test_a_bad_answer_is_a_failure_of_its_item(
    tmp_path: Path, status: int, text: str, reason: str
) -> None:
    def response(_: int) -> web.Response:
        place = {"Location": "http://127.0.0.1:1/x"} if status == 302 else {}
        return web.Response(status=status, text=text, headers=place)

    async with serve(response) as server, open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(server.address + "/ask", settings={"largest_output": 1000})
        with pytest.raises(WorkbenchError, match=reason):
            await bench.run()
        assert len(server.bodies) == 1


async def test_a_failure_of_the_server_is_retried_only_if_allowed(tmp_path: Path) -> None:
    def second(number: int) -> web.Response:
        return web.Response(status=500) if number == 1 else web.Response(text="A")

    async with serve(second) as server, open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(server.address + "/ask", settings={"retries": 1})
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_a_request_to_wait_is_kept_to_and_sent_again(tmp_path: Path) -> None:
    def second(number: int) -> web.Response:
        headers = {"Retry-After": "0"}
        return web.Response(status=429, headers=headers) if number == 1 else web.Response(text="A")

    async with serve(second) as server, open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(server.address + "/ask")
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_an_endpoint_that_refuses_connections_is_named(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create("http://127.0.0.1:9/ask")
        with pytest.raises(WorkbenchError, match=r"127\.0\.0\.1:9"):
            await bench.run()


async def test_the_person_is_told_where_inputs_are_sent(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        arguments = {
            "project": str(bench.folder),
            "name": "Bot",
            "program": "https://bot.example.com/ask",
        }
        proposal = await create_run_config.propose(bench.bench.workspace, arguments)
        assert proposal.plan.destination == "bot.example.com"
