"""Text files that a program finds by itself: each run gets a copy of the folder with the prompt."""

import json
from pathlib import Path

import pytest

from counted_process import write_python
from kiln_mcp.programs.program import CommandProgram
from kiln_mcp.programs.program_files import program_line
from kiln_mcp.programs.text_file import MOST_FILES, TextFile
from kiln_mcp.run_configs.answers import RunConfigCreated
from program_bench import ProgramBench, open_program_bench
from storage.errors import WorkbenchError

SKILL = "skills/shout/SKILL.md"
SETTINGS = {"text_file": SKILL}
BOT = """
from pathlib import Path
import sys
skill = (Path(__file__).resolve().parent / "skills" / "shout" / "SKILL.md").read_bytes().decode()
print(repr(skill), sys.stdin.read())
"""


def write_skill(bench: ProgramBench, text: str = "Shout.\r\n\r\n  - loudly\n") -> Path:
    file = bench.folder / SKILL
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


async def create(bench: ProgramBench, code: str = BOT, **arguments: object) -> RunConfigCreated:
    return await bench.create(bench.script("bot.py", code), settings=SETTINGS, **arguments)


async def test_without_a_prompt_the_program_reads_its_file_as_it_is(tmp_path: Path) -> None:
    text = "Shout.\r\n\r\n  - loudly\n"
    async with open_program_bench(tmp_path, {"a": f"{text!r} a"}) as bench:
        write_skill(bench, text)
        made = await create(bench)
        assert made.prompt == text.rstrip()
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_a_prompt_takes_the_place_of_the_file_in_a_copy_alone(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": f"{'Whisper.' + chr(10)!r} a"}) as bench:
        file = write_skill(bench, "Shout.\n")
        await create(bench, prompt="Whisper.")
        report = await bench.run()
        assert report.table[0].mean == 1
        assert file.read_text(encoding="utf-8") == "Shout.\n"


async def test_what_a_program_writes_into_its_folder_stays_in_the_copy(tmp_path: Path) -> None:
    code = "open('left.txt', 'w').write('x'); open('bot.py', 'a').write('#')"
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        write_skill(bench)
        await create(bench, f"{code}; print('A')")
        report = await bench.run()
        assert report.table[0].mean == 1
        assert not (bench.folder / "left.txt").exists()
        assert not (bench.folder / "bot.py").read_text(encoding="utf-8").endswith("#")


async def test_a_function_reads_its_file_and_needs_no_argument_for_it(tmp_path: Path) -> None:
    code = f"def answer(input):\n    return open({SKILL!r}).read().strip() + input\n"
    async with open_program_bench(tmp_path, {"a": "Whisper.a"}) as bench:
        write_skill(bench)
        (bench.folder / "bot.py").write_text(code, encoding="utf-8")
        settings = {**SETTINGS, "python": write_python(bench.folder / "python")}
        await bench.create("python: bot:answer", prompt="Whisper.", settings=settings)
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_a_script_named_by_its_whole_path_runs_in_the_copy(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": f"{'Whisper.' + chr(10)!r} a"}) as bench:
        write_skill(bench, "Shout.\n")
        command = bench.script("bot.py", BOT).replace("bot.py", str(bench.folder / "bot.py"))
        await bench.create(command, prompt="Whisper.", settings=SETTINGS)
        report = await bench.run()
        assert report.table[0].mean == 1


def test_the_person_reads_which_file_is_replaced(tmp_path: Path) -> None:
    assert f"a copy of its file {SKILL}" in CommandProgram(command=("x",), text_file=SKILL).text


async def test_a_taken_over_winner_does_not_make_the_program_another_one(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A", "b": "B"}) as bench:
        file = write_skill(bench)
        await bench.create(
            bench.script("bot.py", "import sys; print(sys.stdin.read().upper())") + f" {SKILL}",
            settings=SETTINGS,
        )
        await bench.run()
        file.write_text("Another text.", encoding="utf-8")
        report = await bench.run(repeats=2)
        assert report.table[0].mean == 1


async def test_the_text_of_a_folder_that_nobody_trusts_is_not_read(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}, is_trusted=False) as bench:
        write_skill(bench)
        with pytest.raises(WorkbenchError, match="kiln-mcp trust"):
            await create(bench)
        assert (await create(bench, prompt="Whisper.")).prompt == "Whisper."


async def test_a_text_with_a_secret_does_not_become_a_prompt(tmp_path: Path) -> None:
    environment = {"BOT_TOKEN": "a-secret-token"}
    async with open_program_bench(tmp_path, {"a": "A"}, environment=environment) as bench:
        write_skill(bench, "Use a-secret-token.")
        with pytest.raises(WorkbenchError, match="holds a secret"):
            await create(bench)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../outside.md", "does not lie in the folder"),
        ("/etc/hostname", "does not lie in the folder"),
        ("missing.md", "there is no file"),
        ("link.md", "a link leads to it"),
        ("linked/SKILL.md", "a link leads to it"),
        (".", "there is no file"),
        ("binary.md", "not in UTF-8"),
        ("empty.md", "is empty"),
        ("large.md", "more than 256 KB"),
    ],
)
def test_a_file_that_cannot_be_replaced_is_refused(tmp_path: Path, path: str, reason: str) -> None:
    folder = tmp_path / "bot"
    (folder / "skill").mkdir(parents=True)
    for name in ("outside.md", "bot/real.md", "bot/skill/SKILL.md"):
        (tmp_path / name).write_text("A text.", encoding="utf-8")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    (folder / "linked").symlink_to(folder / "skill")
    (folder / "binary.md").write_bytes(b"\xff\xfe")
    (folder / "empty.md").write_text("\n", encoding="utf-8")
    (folder / "large.md").write_text("x" * 300_000, encoding="utf-8")
    TextFile("Bot", folder, "real.md").check()
    with pytest.raises(WorkbenchError, match=reason):
        TextFile("Bot", folder, path).check()


def test_a_folder_too_large_to_copy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("A text.", encoding="utf-8")
    (tmp_path / "data").mkdir()
    for number in range(MOST_FILES):
        (tmp_path / "data" / f"{number}").touch()
    with pytest.raises(WorkbenchError, match="smaller `folder`"):
        TextFile("Bot", tmp_path, "a.md").check()
    (tmp_path / "data").rename(tmp_path / "node_modules")
    TextFile("Bot", tmp_path, "a.md").check()


def test_links_of_a_folder_lead_to_the_copy_or_out_as_before(tmp_path: Path) -> None:
    folder, copy = tmp_path / "bot", tmp_path / "copy"
    (folder / ".git").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    (folder / ".claude").mkdir()
    (folder / ".claude" / "AGENTS.md").write_text("Old.\n", encoding="utf-8")
    (tmp_path / "outside").write_text("out", encoding="utf-8")
    (folder / "CLAUDE.md").symlink_to(folder / ".claude" / "AGENTS.md")
    (folder / "relative.md").symlink_to(".claude/AGENTS.md")
    (folder / "out.md").symlink_to("../outside")
    (folder / "nowhere").symlink_to("missing")
    TextFile("Bot", folder, ".claude/AGENTS.md").copy_to(copy, "New.")
    for name in ("CLAUDE.md", "relative.md", ".claude/AGENTS.md"):
        assert (copy / name).read_text(encoding="utf-8") == "New.\n"
    assert (copy / "out.md").read_text(encoding="utf-8") == "out"
    assert (copy / ".git").resolve() == (folder / ".git").resolve()
    assert not (copy / "__pycache__").exists()
    assert (folder / "CLAUDE.md").read_text(encoding="utf-8") == "Old.\n"


def test_records_of_a_project_are_not_copied(tmp_path: Path) -> None:
    folder, copy = tmp_path / "bot", tmp_path / "copy"
    (folder / "tasks").mkdir(parents=True)
    (folder / "a.md").write_text("A text.", encoding="utf-8")
    TextFile("Bot", folder, "a.md").copy_to(copy, "B")
    assert not (copy / "tasks").is_symlink()
    (folder / "project.kiln").touch()
    TextFile("Bot", folder, "a.md").copy_to(tmp_path / "second", "B")
    assert (tmp_path / "second" / "tasks").is_symlink()


def test_programs_without_a_text_file_keep_their_names() -> None:
    assert "text_file" not in json.loads(program_line(CommandProgram(command=("x",))))
