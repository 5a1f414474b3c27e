"""What the command line refuses and says by itself."""

from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from click.testing import CliRunner, Result

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.cli import cli
from kiln_mcp.llm.errors import UnknownOrder
from kiln_mcp.settings import Settings


def run(home: Path, *arguments: str) -> Result:
    invoke = CliRunner(env={"KILN_MCP_HOME": str(home)}).invoke
    return invoke(cli, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--port", "99999"), "99999 is not in the range 0<=x<=65535"),
        (("serve", "--port", "-1"), "-1 is not in the range"),
        (("serve", "--idle-minutes", "-1"), "-1.0 is not in the range x>0"),
        (("serve", "--idle-minutes", "0"), "0.0 is not in the range x>0"),
        (("worker", "--database-url", "mysql://x"), "'mysql' is no Postgres"),
        (("worker", "--database-url", "sqlite:///x"), "'sqlite' is no Postgres"),
        (("worker",), "A worker needs a shared database"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    refused = run(tmp_path / "home", *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr


async def test_who_waits_for_the_host_is_told_so_and_where_to_answer(tmp_path: Path) -> None:
    home, ended = tmp_path / "home", list[Result]()
    group = anyio.create_task_group()

    async def ask() -> None:
        asked = partial(run, home, "test-model", "--model", "host", "--yes")
        ended.append(await anyio.to_thread.run_sync(asked))
        group.cancel_scope.cancel()

    settings = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    with anyio.fail_after(60):
        async with (
            installed_catalogue().open_workspace(settings) as workspace,
            group,
        ):
            group.start_soon(ask)
            orders = workspace.engine.orders
            looks = 0
            while True:
                looks += await orders.open_count() > 0
                # The command looks every second: nobody answers before it has.
                for order in await orders.take(5) if looks > 30 else ():
                    try:
                        await orders.answer(order.id, "Ready.")
                    except UnknownOrder:
                        continue
                await anyio.sleep(0.05)
    said = ended[0].stderr
    assert said.count("for the model 'host', which is you") == 1
    assert "take-work-orders" in said
