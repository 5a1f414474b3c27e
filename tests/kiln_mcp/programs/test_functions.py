"""Python functions as run configs: run by an interpreter of their own."""

from pathlib import Path

import pytest

from counted_process import write_python
from program_bench import open_program_bench
from storage.errors import WorkbenchError


async def test_a_function_is_handed_what_it_takes_and_returns_the_output(tmp_path: Path) -> None:
    code = "def answer(input, prompt):\n    print('noise')\n    return f'{prompt} {input}'\n"
    async with open_program_bench(tmp_path, {"a": "Say a"}) as bench:
        (bench.folder / "bot.py").write_text(code, encoding="utf-8")
        await bench.create(
            "python: bot:answer",
            prompt="Say",
            settings={"python": write_python(bench.folder / "python")},
        )
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_an_async_function_may_return_json_with_fields(tmp_path: Path) -> None:
    code = "async def answer(input):\n    return {'text': input.upper(), 'usd': 1}\n"
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        (bench.folder / "bot.py").write_text(code, encoding="utf-8")
        settings = {
            "python": write_python(bench.folder / "python"),
            "output_field": "text",
            "cost_field": "usd",
        }
        await bench.create("python: bot:answer", settings=settings)
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_a_function_that_breaks_is_named_with_its_line(tmp_path: Path) -> None:
    code = "def answer(input):\n    return 1 / 0\n"
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        (bench.folder / "bot.py").write_text(code, encoding="utf-8")
        await bench.create(
            "python: bot:answer", settings={"python": write_python(bench.folder / "python")}
        )
        with pytest.raises(WorkbenchError, match=r"ZeroDivisionError: .* \(line 2 of bot.py\)"):
            await bench.run()


async def test_a_prompt_for_a_function_that_takes_none_is_a_failure(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        (bench.folder / "bot.py").write_text("def answer(input): return 'A'", encoding="utf-8")
        await bench.create(
            "python: bot:answer",
            prompt="Say",
            settings={"python": write_python(bench.folder / "python")},
        )
        with pytest.raises(WorkbenchError, match="takes no argument named prompt"):
            await bench.run()


async def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(
            "python: missing_bot:answer", settings={"python": write_python(bench.folder / "python")}
        )
        with pytest.raises(WorkbenchError, match="No module named 'missing_bot'"):
            await bench.run()


async def test_a_function_of_any_keywords_is_handed_all_of_them(tmp_path: Path) -> None:
    code = "def answer(**values):\n    return ' '.join(sorted(values))\n"
    async with open_program_bench(tmp_path, {"a": "input messages prompt sample seed"}) as bench:
        (bench.folder / "bot.py").write_text(code, encoding="utf-8")
        settings = {"python": write_python(bench.folder / "python")}
        await bench.create("python: bot:answer", prompt="Say", settings=settings)
        report = await bench.run()
        assert report.table[0].mean == 1


@pytest.mark.parametrize("folder", [".venv", "venv"])
async def test_a_function_runs_in_the_environment_of_its_project(
    tmp_path: Path, folder: str
) -> None:
    async with open_program_bench(tmp_path, {"a": "its own"}) as bench:
        write_program(bench.folder / folder / "bin" / "python", "echo its own")
        await bench.create("python: bot:answer")
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_a_function_without_an_environment_runs_with_python3_of_the_path(
    tmp_path: Path,
) -> None:
    write_program(tmp_path / "programs" / "python3", "echo of the path")
    environment = {"PATH": f"{tmp_path / 'programs'}:/usr/bin:/bin"}
    items = {"a": "of the path"}
    async with open_program_bench(tmp_path, items, environment=environment) as bench:
        await bench.create("python: bot:answer")
        report = await bench.run()
        assert report.table[0].mean == 1


def write_program(file: Path, command: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    file.chmod(0o755)
