"""Commands as run configs, driven by create_run_config and run_eval."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.errors import InvalidArguments
from kiln_mcp.evals.service import run_eval
from kiln_mcp.projects.records.programs import list_programs
from kiln_mcp.run_configs.service import create_run_config
from program_bench import PYTHON, open_program_bench
from storage import Task, TaskRunConfig
from storage.errors import Refusal, WorkbenchError

SHOUT = "import sys; print(sys.stdin.read().upper())"


async def test_a_command_gets_the_input_and_its_output_is_scored(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A", "b": "B", "c": "x"}) as bench:
        await bench.create(bench.script("shout.py", SHOUT))
        report = await bench.run()
        assert report.table[0].mean == pytest.approx(2 / 3, abs=1e-3)
        assert await bench.outputs() == {"a": "A", "b": "B", "c": "C"}


async def test_a_program_is_not_run_again_for_what_it_has_answered(tmp_path: Path) -> None:
    code = f"open('count', 'a').write('x'); {SHOUT}"
    async with open_program_bench(tmp_path, {"a": "A", "b": "B"}) as bench:
        await bench.create(bench.script("shout.py", code))
        await bench.run()
        await bench.run()
        assert (bench.folder / "count").read_text() == "xx"


async def test_the_prompt_is_handed_over_as_file_argument_and_variable(tmp_path: Path) -> None:
    code = "import os, sys; print(open(sys.argv[1]).read(), sys.argv[2], os.environ['P'])"
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        command = f"{bench.script('p.py', code)} {{prompt_file}} {{prompt}}"
        await bench.create(command, prompt="Be loud.", settings={"prompt_variable": "P"})
        await bench.run()
        assert await bench.outputs() == {"a": "Be loud. Be loud. Be loud."}


async def test_what_is_put_in_is_not_filled_in_again(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"{prompt}": "x"}) as bench:
        command = f"{bench.script('p.py', 'import sys; print(sys.argv[1])')} {{input}}"
        await bench.create(command)
        await bench.run()
        assert await bench.outputs() == {"{prompt}": "{prompt}"}


async def test_a_prompt_without_a_place_is_refused(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        with pytest.raises(Refusal, match="no place for the prompt"):
            await bench.create(bench.script("shout.py", SHOUT), prompt="Be loud.")


async def test_json_on_standard_input_holds_the_input_as_json(tmp_path: Path) -> None:
    code = "import json, sys; d = json.load(sys.stdin); print(d['input']['n'] + 1, d['prompt'])"
    task = Task(name="Add", instruction="Add.", input_json_schema=json.dumps({"type": "object"}))
    async with open_program_bench(tmp_path, {'{"n": 1}': "2 Add"}, task=task) as bench:
        await bench.create(bench.script("add.py", code), prompt="Add", settings={"stdin": "json"})
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_secrets_of_the_environment_need_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_TOKEN", "secret-token")
    code = "import os; print(os.environ.get('BOT_TOKEN'), bool(os.environ.get('PATH')))"
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        command = bench.script("env.py", code)
        await bench.create(command)
        await bench.run()
        assert await bench.outputs() == {"a": "None True"}
        with pytest.raises(WorkbenchError, match="BOT_TOKEN is not set"):
            await bench.create(command, name="Other", settings={"environment": ["BOT_TOKEN"]})


async def test_a_secret_that_a_program_prints_is_in_no_record(tmp_path: Path) -> None:
    code = (
        "import json, os; k = os.environ['BOT_TOKEN']; "
        "print(json.dumps({'text': 'I use ' + k, 'messages': "
        "[{'role': 'assistant', 'content': 'See ' + k}]}))"
    )
    environment = {"BOT_TOKEN": "hüsh-hush"}
    settings: dict[str, object] = {"environment": ["BOT_TOKEN"]}
    fields = {"output_field": "text", "trace_field": "messages"}
    async with open_program_bench(tmp_path, {"a": "A"}, environment=environment) as bench:
        command = bench.script("leak.py", code)
        await bench.create(command, settings={**settings, **fields})
        await bench.run()
        run = await bench.only_run()
        assert run.output.output == "I use …"
        assert run.trace is not None
        assert [message.model_dump()["content"] for message in run.trace] == ["See …"]
        await bench.create(command, name="Raw", settings=settings)
        await bench.bench.run(run_configs=["Raw"])
        assert [bench.files_with(form) for form in ("hüsh-hush", "h\\u00fcsh-hush")] == [[], []]


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("print('no ' + k)", {"output_field": "text"}),
        ("print('{\"no\": \"' + k + '\"}')", {"output_field": "text"}),
        ("exit('no ' + k)", {}),
    ],
)
async def test_the_sentence_of_a_failure_holds_no_secret(
    tmp_path: Path, code: str, settings: dict[str, str]
) -> None:
    environment = {"BOT_TOKEN": "hush-hush"}
    async with open_program_bench(tmp_path, {"a": "A"}, environment=environment) as bench:
        command = bench.script("leak.py", f"import os; k = os.environ['BOT_TOKEN']; {code}")
        await bench.create(command, settings={"environment": ["BOT_TOKEN"], **settings})
        with pytest.raises(WorkbenchError, match=r"no .*…") as failure:
            await bench.run()
        assert "hush-hush" not in str(failure.value)


async def test_a_failure_is_one_sentence_with_exit_code_and_last_words(tmp_path: Path) -> None:
    code = "import sys; sys.exit('no key') if sys.stdin.read() == 'b' else print('A')"
    async with open_program_bench(tmp_path, {"a": "A", "b": "B"}) as bench:
        await bench.create(bench.script("sometimes.py", code))
        report = await bench.run()
        [failure] = report.failures
        assert "ended with exit code 1 and said: no key" in failure.reason


@pytest.mark.parametrize(
    ("code", "settings", "reason"),
    [
        ("import time; time.sleep(60)", {"timeout_s": 0.3}, "took longer than 0.3 s"),
        ("print('x' * 5000)", {"largest_output": 1000}, "wrote more than 1000 bytes"),
        ("pass", {}, "answered with nothing"),
        ("print('no')", {"output_field": "text"}, "no JSON"),
        ("print('{}')", {"output_field": "a.b"}, "without the field 'a.b'"),
        ("print('{\"a\": 1}')", {"output_field": "a.b"}, "without the field 'a.b'"),
        ("print('{\"a\": 1}')", {"trace_field": "a"}, "'a' that is no list of messages"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_a_failure_of_its_item(
    tmp_path: Path, code: str, settings: dict[str, object], reason: str
) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(bench.script("bad.py", code), settings=settings)
        with pytest.raises(WorkbenchError, match=reason):
            await bench.run()


async def test_a_failure_is_retried_if_the_settings_allow_it(tmp_path: Path) -> None:
    code = "import os\nif os.path.exists('tried'): print('A')\nelse: open('tried', 'w'); exit(1)"
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(bench.script("flaky.py", code), settings={"retries": 1})
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_output_cost_and_trace_are_read_from_json(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    trace = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "assistant", "content": "A"},
    ]
    answer = {"choices": [{"text": "A"}], "usd": 0.25, "messages": trace}
    fields = {"output_field": "choices.0.text", "cost_field": "usd", "trace_field": "messages"}
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        code = f"import json; print(json.dumps({answer!r}))"
        await bench.create(bench.script("say.py", code), settings=fields)
        await bench.run()
        run = await bench.only_run()
        assert run.output.output == "A"
        assert run.usage is not None
        assert run.usage.cost == 0.25
        assert run.trace is not None
        assert [message.role for message in run.trace] == ["user", "assistant", "assistant"]


async def test_an_output_must_fit_the_schema_of_the_task(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    task = Task(name="Count", instruction="Count.", output_json_schema=json.dumps(schema))
    async with open_program_bench(tmp_path, {"a": '{"n": 1}', "b": '{"n": 2}'}, task=task) as bench:
        code = """import sys; print('{"n": 1}' if sys.stdin.read() == 'a' else '{"m": 2}')"""
        await bench.create(bench.script("count.py", code))
        report = await bench.run()
        assert "does not fit the schema" in report.failures[0].reason
        assert await bench.outputs() == {"a": '{"n": 1}'}


async def test_an_untrusted_folder_runs_nothing(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}, is_trusted=False) as bench:
        made = await bench.create(bench.script("shout.py", f"open('ran', 'w'); {SHOUT}"))
        assert "kiln-mcp trust" in made.warnings[0]
        with pytest.raises(Refusal, match="is not trusted"):
            await bench.run()
        assert not (bench.folder / "ran").exists()


async def test_a_person_approves_a_program_before_it_is_saved(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        program = bench.script("shout.py", SHOUT)
        arguments = {"project": str(bench.folder), "name": "Bot", "program": program}
        proposal = await create_run_config.propose(bench.bench.workspace, arguments)
        assert "shout.py" in proposal.plan.code
        assert proposal.plan.needs_approval
        alone = replace(bench.bench.workspace, person=None)
        with pytest.raises(MissingApproval):
            await create_run_config.invoke(alone, arguments)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("python bot.py", "begins with none of the kinds"),
        ("command:", "there is no command"),
        ("command: echo 'a", "quotes do not match"),
        ("command: no-such-command-here", "no command 'no-such-command-here' on the PATH"),
        ("command: ./missing.sh", "there is no file"),
        ("command: ./plain.txt", "is not executable"),
        ("python: bot", "module:function"),
        ("mcp: weather", "server/tool"),
        ("mcp: weather/get", "no MCP server 'weather'"),
    ],
)
async def test_a_program_that_cannot_run_is_refused_when_it_is_created(
    tmp_path: Path, program: str, reason: str
) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        (bench.folder / "plain.txt").write_text("plain")
        with pytest.raises(WorkbenchError, match=reason):
            await bench.create(program)


@pytest.mark.parametrize(
    ("settings", "sentence", "is_asked"),
    [
        ({}, "Your program runs 2 times.", False),
        ({"output_field": "a", "cost_field": "b"}, "at a cost that it reports afterwards", True),
    ],
)
async def test_a_plan_says_how_often_the_program_runs(
    tmp_path: Path, settings: dict[str, str], sentence: str, is_asked: bool
) -> None:
    async with open_program_bench(tmp_path, {"a": "A", "b": "B"}) as bench:
        await bench.create(bench.script("shout.py", SHOUT), settings=settings)
        arguments = bench.bench.arguments(run_configs=["Bot"])
        plan = (await run_eval.propose(bench.bench.workspace, arguments)).plan
        assert sentence in plan.text
        assert plan.needs_approval == is_asked
        assert plan.calls == 0


async def test_a_setting_of_another_kind_is_refused(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        with pytest.raises(InvalidArguments, match=r"settings\.body"):
            await bench.create(bench.script("shout.py", SHOUT), settings={"body": {}})


async def test_a_changed_program_file_is_refused(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(bench.script("shout.py", SHOUT))
        [file] = bench.folder.rglob("kiln_mcp_program.jsonl")
        file.write_text(file.read_text().replace("shout.py", "other.py"))
        with pytest.raises(WorkbenchError, match="was changed"):
            await bench.run()


@pytest.mark.parametrize("line", ["no JSON", "[" * 100_000, "[]", '{"kind": "command"}', "1"])
async def test_a_foreign_program_file_is_refused_in_a_sentence(tmp_path: Path, line: str) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(bench.script("shout.py", SHOUT))
        store = bench.bench.store
        config = await store.find(TaskRunConfig, "Bot", parent=bench.bench.task)
        digest = hashlib.blake2b(line.encode(), digest_size=6).hexdigest()
        properties = config.run_config_properties.replace(model_name=f"program::command-{digest}")
        await store.save(config.replace(run_config_properties=properties))
        [file] = bench.folder.rglob("kiln_mcp_program.jsonl")
        file.write_text(f"{line}\n", encoding="utf-8")
        with pytest.raises(WorkbenchError, match="does not know"):
            await bench.run()


async def test_a_program_whose_files_have_changed_needs_a_new_name(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        command = bench.script("shout.py", "exit(1)")
        await bench.create(command)
        with pytest.raises(WorkbenchError, match="exit code 1"):
            await bench.run()
        bench.script("shout.py", SHOUT)  # mended before its first output: still the same
        await bench.run()
        bench.script("shout.py", f"{SHOUT} # better")
        with pytest.raises(Refusal, match="have changed since its first outputs"):
            await bench.run()
        await bench.create(command, name="Bot 2")
        report = await bench.bench.run(run_configs=["Bot 2"])
        assert report.table[0].mean == 1


async def test_outputs_of_a_changed_program_are_scored_by_a_new_evaluator(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(bench.script("shout.py", SHOUT))
        await bench.run()
        bench.script("shout.py", f"{SHOUT} # better")
        await bench.bench.evaluator(name="Short", type="pattern_match", pattern="^.$")
        report = await bench.run(evaluators=["Short"])
        assert report.table[0].mean == 1
        assert "the scores are those of the version before" in report.warnings[0]
        await bench.bench.add_items({"b": "B"})
        with pytest.raises(Refusal, match="have changed since its first outputs"):
            await bench.run(evaluators=["Short"])


async def test_no_more_runs_at_once_than_the_settings_allow(tmp_path: Path) -> None:
    code = "import os, time; os.mkdir('busy'); time.sleep(0.05); os.rmdir('busy'); print('A')"
    items = dict.fromkeys("abcd", "A")
    async with open_program_bench(tmp_path, items) as bench:
        await bench.create(bench.script("alone.py", code), settings={"concurrency": 1})
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_the_person_sees_a_projects_programs_before_they_trust_it(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await bench.create(bench.script("shout.py", SHOUT))
        await bench.create("http://127.0.0.1:9/ask", name="Service")
        lines = list_programs(bench.folder)
        assert f"program of the run config 'Bot': {PYTHON} shout.py" in lines
        assert "program of the run config 'Service': http://127.0.0.1:9/ask" in lines


async def test_a_command_runs_in_the_folder_that_is_named(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "feature"}) as bench:
        (bench.folder / "feature").mkdir()
        code = "import os; print(os.path.basename(os.getcwd()))"
        (bench.folder / "feature" / "where.py").write_text(code)
        await bench.create(f"command: {PYTHON} where.py", settings={"folder": "feature"})
        report = await bench.run()
        assert report.table[0].mean == 1
