"""What a command cannot be handed, and commands that cannot start."""

from pathlib import Path

import pytest

from program_bench import open_program_bench
from storage.errors import WorkbenchError

SHOUT = "import sys; print(sys.stdin.read().upper())"


async def test_a_folder_that_is_missing_is_refused_when_a_program_is_created(
    tmp_path: Path,
) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        command = bench.script("shout.py", SHOUT)
        with pytest.raises(WorkbenchError, match=r"there is no folder .*feature"):
            await bench.create(command, settings={"folder": "feature"})


async def test_an_argument_too_long_for_the_name_of_a_file_is_handed_over(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "300"}) as bench:
        command = bench.script("count.py", "import sys; print(len(sys.argv[1]))")
        await bench.create(f"{command} {'x' * 300}")
        report = await bench.run()
        assert report.table[0].mean == 1


@pytest.mark.parametrize(
    ("item", "places", "reason"),
    [
        ("a\0b", 1, "a text with a NUL"),
        ("x" * 100_001, 1, "more than 100 KB"),
        ("x" * 100_000, 70, "its arguments are too long"),
    ],
)
async def test_an_input_that_is_no_argument_is_a_failure_of_its_item(
    tmp_path: Path, item: str, places: int, reason: str
) -> None:
    async with open_program_bench(tmp_path, {item: "A"}) as bench:
        command = bench.script("shout.py", f"open('ran', 'w'); {SHOUT}")
        await bench.create(command + " {input}" * places)
        with pytest.raises(WorkbenchError, match=reason):
            await bench.run()
        assert not (bench.folder / "ran").exists()


async def test_a_script_without_its_interpreter_is_a_failure(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        script = bench.folder / "bot.sh"
        script.write_text("#!/there/is/no/shell\n", encoding="utf-8")
        script.chmod(0o755)
        await bench.create("command: ./bot.sh")
        with pytest.raises(WorkbenchError, match=r"\./bot\.sh cannot be started"):
            await bench.run()


@pytest.mark.parametrize("cost", ["much", True, -1])
async def test_a_cost_that_is_no_amount_is_not_known(tmp_path: Path, cost: object) -> None:
    answer = {"text": "A", "usd": cost}
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        command = bench.script("say.py", f"import json; print(json.dumps({answer!r}))")
        await bench.create(command, settings={"output_field": "text", "cost_field": "usd"})
        await bench.run()
        run = await bench.only_run()
        assert run.output.output == "A"
        assert run.usage is None or run.usage.cost is None
