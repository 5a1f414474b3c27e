"""The gate as a pipeline runs it: exit codes, reports, and no home, server or key."""

import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import anyio
import pytest
from click.testing import CliRunner, Result

from kiln_mcp.doors.cli import cli
from kiln_mcp.evals.gate.checks import CheckOutcome, GateCheck
from kiln_mcp.evals.gate.gate_report import GateReport
from kiln_mcp.evals.gate.junit import junit_xml
from kiln_mcp.evals.gate.markdown import markdown_summary
from stored_results import JUDGE, StoredResults, StoredVerdict, make_project, verdicts_of

ROOT: Final = Path(__file__).parents[4]
OLD: Final = datetime(2026, 1, 1, tzinfo=UTC)
NEW: Final = OLD + timedelta(days=40)


def gate(folder: Path, *arguments: str, **environment: str) -> Result:
    """Run the gate as a clean checkout does: the home does not exist."""
    home = str(folder.parent / "no home")
    environment = {"KILN_MCP_HOME": home, "CI": "", "GITHUB_STEP_SUMMARY": "", **environment}
    runner = CliRunner(env=environment)
    return runner.invoke(cli, ["gate", "--project", str(folder), *arguments])


def passes(count: int, passed: int) -> list[StoredVerdict]:
    return verdicts_of([float(n < passed) for n in range(count)])


def make(
    folder: Path, values: Mapping[str, list[StoredVerdict]], results: StoredResults | None = None
) -> Path:
    anyio.run(make_project, folder, results or StoredResults(), values)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("passed", "threshold", "code", "said"),
    [
        (60, "right=0.9", 0, "The gate passes"),
        (30, "right=0.9", 1, "The gate fails"),
        (54, "right=90%", 2, "The gate cannot tell"),
    ],
)
def test_the_exit_code_says_whether_a_limit_reaches_its_threshold(
    folder: Path, passed: int, threshold: str, code: int, said: str
) -> None:
    place = make(folder, {"new": passes(60, passed)}, StoredResults(items=60))
    done = gate(place, "--at-least", threshold)
    assert done.exit_code == code, done.output
    assert said in done.output


@pytest.mark.parametrize(("choice", "code"), [("fail", 1), ("pass", 0)])
def test_what_cannot_be_told_counts_as_chosen(folder: Path, choice: str, code: int) -> None:
    make(folder, {"new": passes(40, 36)})
    done = gate(folder, "--at-least", "right=.8", "--cannot-tell", choice)
    assert done.exit_code == code
    assert "more items would decide" in done.output


def test_a_run_config_is_held_against_the_pinned_baseline(folder: Path) -> None:
    values = {"old": passes(40, 30), "same": passes(40, 30), "worse": passes(40, 5)}
    make(folder, values)
    pinned = gate(folder, "--pin", "--run-config", "old")
    assert pinned.exit_code == 0
    assert pinned.output == "old is the baseline of Right: right 0.75.\n"
    [file] = folder.rglob("kiln_mcp_baselines.jsonl")
    line = json.loads(file.read_text(encoding="utf-8"))
    assert (line["name"], line["rates"]["right"]["n"]) == ("old", 40)
    worse = gate(folder, "--run-config", "worse")
    assert worse.exit_code == 1
    assert "FAIL  Right: right loses at most 5 points" in worse.output
    assert gate(folder, "--run-config", "old").exit_code == 0
    assert gate(folder, "--run-config", "same", "--no-worse", "20").exit_code == 0
    assert gate(folder, "--run-config", "same").exit_code == 2


def test_a_baseline_whose_results_are_gone_counts_with_its_pinned_rate(folder: Path) -> None:
    make(folder, {"old": passes(40, 38), "worse": passes(40, 5)})
    gate(folder, "--pin", "--run-config", "old")
    [config] = [
        file for file in folder.rglob("task_run_config.kiln") if '"old"' in file.read_text("utf-8")
    ]
    config_id = json.loads(config.read_text("utf-8"))["id"]
    for file in folder.rglob("eval_run.kiln"):
        if config_id in file.read_text("utf-8"):
            file.unlink()
    done = gate(folder, "--run-config", "worse")
    assert done.exit_code == 1
    assert "with the pinned rate of 40 items, not item by item" in done.output


def test_one_failure_of_an_item_that_must_pass_fails_the_gate(folder: Path) -> None:
    results = StoredResults(tags={3: "must-pass", 39: "must-pass"})
    make(folder, {"new": passes(40, 39)}, results)
    done = gate(folder, "--at-least", "right=.5")
    assert done.exit_code == 1
    assert done.output.count("Right: must-pass ") == 2
    assert "for the input 'question 39'" in done.output


def test_one_critical_failure_fails_the_gate(folder: Path) -> None:
    results = StoredResults(scores={"safe": "pass_fail_critical"})
    values = verdicts_of([1.0] * 38 + [0.0, -1.0])
    make(folder, {"new": values, "fair": verdicts_of([1.0] * 38 + [0.0] * 2)}, results)
    assert gate(folder, "--run-config", "fair").exit_code == 0
    done = gate(folder, "--run-config", "new")
    assert done.exit_code == 1
    assert "safe is never critical. 1 of 40 items fail." in done.output
    assert gate(folder, "--run-config", "fair", "--critical", "safe").exit_code == 1
    assert gate(folder, "--run-config", "fair", "--critical", "check").exit_code == 1


def test_missing_results_leave_the_gate_open(folder: Path) -> None:
    make(folder, {"new": passes(30, 30)})
    done = gate(folder, "--at-least", "right=.5")
    assert done.exit_code == 2
    assert "10 of 40 items have no result of 'new'" in done.output


@pytest.mark.parametrize("scores", [{}, {"right": float("nan")}, {"right": float("inf")}])
def test_results_that_lack_a_score_leave_the_gate_open(
    folder: Path, scores: Mapping[str, float]
) -> None:
    make(folder, {"new": passes(40, 40)})
    change_results(folder, 20, {"scores": scores})
    done = gate(folder, "--at-least", "right=.5")
    assert done.exit_code == 2
    assert "20 of 40 items have a result of 'new' that lacks a score" in done.output


def test_results_that_were_skipped_with_a_reason_count_in_no_score(folder: Path) -> None:
    make(folder, {"new": passes(40, 40)})
    skip: dict[str, object] = {"scores": {}, "skipped_reason": "missing_reference_key"}
    change_results(folder, 20, skip)
    done = gate(folder, "--at-least", "right=.5")
    assert done.exit_code == 0
    assert "20 of them were skipped, and count in no score." in done.output


def change_results(folder: Path, count: int, fields: Mapping[str, object]) -> None:
    """Change fields of some results in their files, as another program may."""
    for file in sorted(folder.rglob("eval_run.kiln"))[:count]:
        result = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps({**result, **fields}), encoding="utf-8")


def test_stars_below_three_fail_where_every_item_must_pass(folder: Path) -> None:
    bad = StoredResults(scores={"quality": "five_star"}, stars=2, tags={3: "must-pass"})
    make(folder, {"new": passes(40, 40)}, bad)
    assert gate(folder).exit_code == 1
    assert gate(folder, "--must-pass", "no", "--critical", "quality").exit_code == 1
    share = gate(folder, "--at-least", "quality=90%")
    assert share.exit_code == 2
    assert "lies outside its scale, 1 to 5" in share.stderr


def test_a_score_that_must_never_fail_is_open_where_items_lack_it(folder: Path) -> None:
    make(folder, {"new": passes(30, 30)})
    done = gate(folder, "--critical", "right")
    assert "open  Right: right never fails. 10 of 40 items have no result yet." in done.output


@pytest.mark.parametrize("arguments", [(), ("--must-pass", "misspelt")])
def test_a_gate_without_any_rule_cannot_tell_and_names_the_rules(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    make(folder, {"new": passes(40, 40)}, StoredResults(tags={3: "must-pass"} if arguments else {}))
    done = gate(folder, *arguments)
    assert done.exit_code == 2
    assert "The gate cannot tell: 1 of 2 checks of new are open" in done.output
    for rule in ("--at-least SCORE=NUMBER", "--critical", "--drift", "--pin", "tag items"):
        assert rule in done.output
    assert gate(folder, "--at-least", "right=0").exit_code == 0


def test_a_gate_of_drift_alone_needs_no_other_rule(folder: Path) -> None:
    make(folder, {"new": passes(40, 40)})
    done = gate(folder, "--drift", "--since", "2026-02-01")
    assert "No rule applies" not in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--at-least", "nope=.9"), "have no score 'nope'. Choose among: check, right"),
        (("--at-least", "right"), "'right' is no threshold"),
        (("--critical", "nope"), "have no score 'nope'"),
        (("--at-least", "right=5"), "lies outside its scale, 0 to 1"),
        (("--run-config", "nope"), "nope"),
        (("Nope",), "Nope"),
        (("--cannot-tell", "maybe"), "'maybe' is not one of"),
        (("--drift",), "since when? No baseline is pinned"),
    ],
)
def test_misuse_ends_with_exit_code_2_and_a_sentence(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    make(folder, {"new": passes(40, 40)})
    done = gate(folder, *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_without_a_default_the_only_run_config_with_results_is_gated(folder: Path) -> None:
    make(folder, {"idle": [], "new": passes(40, 40)})
    forget_default(folder)
    assert "checks of new" in gate(folder, "--at-least", "right=.5").output
    make(folder.with_name("two"), {"one": passes(40, 40), "new": passes(40, 40)})
    forget_default(folder.with_name("two"))
    done = gate(folder.with_name("two"), "--at-least", "right=.5")
    assert done.exit_code == 2
    assert "Name one with --run-config" in done.stderr


def forget_default(folder: Path) -> None:
    """Take away the default run config of the task."""
    [file] = folder.rglob("task.kiln")
    task = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**task, "default_run_config_id": None}), encoding="utf-8")


def test_the_gate_leaves_no_home_behind(folder: Path) -> None:
    make(folder, {"new": passes(40, 40)})
    gate(folder, "--at-least", "right=.5")
    assert not (folder.parent / "no home").exists()


SUITES: Final[Mapping[str, tuple[frozenset[str], frozenset[str], frozenset[str]]]] = {
    "testsuites": (
        frozenset(),
        frozenset({"name", "time", "tests", "failures", "errors"}),
        frozenset({"testsuite"}),
    ),
    "testsuite": (
        frozenset({"name", "tests", "failures", "errors"}),
        frozenset({"time", "skipped", "timestamp", "hostname", "id", "package"}),
        frozenset({"properties", "testcase", "system-out", "system-err"}),
    ),
    "testcase": (
        frozenset({"name"}),
        frozenset({"time", "classname", "group"}),
        frozenset({"skipped", "error", "failure", "system-out", "system-err"}),
    ),
    "failure": (frozenset(), frozenset({"type", "message"}), frozenset()),
    "error": (frozenset(), frozenset({"type", "message"}), frozenset()),
    "system-out": (frozenset(), frozenset(), frozenset()),
}
"""The elements of JUnit XML as readers know them (Jenkins' junit-10): needed and possible
attributes, and children."""


def check_junit(element: ElementTree.Element) -> None:
    needed, possible, children = SUITES[element.tag]
    assert needed <= set(element.keys()) <= needed | possible
    for child in element:
        assert child.tag in children
        check_junit(child)


def test_the_junit_report_has_the_elements_that_readers_know(folder: Path, tmp_path: Path) -> None:
    make(folder, {"new": passes(40, 20)}, StoredResults(tags={39: "must-pass"}))
    junit, markdown = tmp_path / "gate.xml", tmp_path / "gate.md"
    summary = tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    done = gate(
        folder,
        *("--at-least", "right=.9", "--junit", str(junit), "--markdown", str(markdown)),
        "--summary",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert done.exit_code == 1
    root = ElementTree.parse(junit).getroot()
    check_junit(root)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "2", "0")
    [suite] = root
    assert suite.get("name") == "Right"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp") or "")
    names = [case.get("name") for case in suite]
    assert names[:2] == ["every item is scored", "right is at least 0.9"]
    text = markdown.read_text("utf-8")
    assert text.startswith("## The gate fails: 2 of 3 checks of new.")
    assert text.index("**FAIL**") < text.index("| pass |")
    assert summary.read_text("utf-8") == f"before\n{text}"


@pytest.mark.parametrize("option", ["--junit", "--markdown", "--summary"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(
    folder: Path, tmp_path: Path, option: str
) -> None:
    make(folder, {"new": passes(40, 40)})
    file, summary = tmp_path / "new.xml", str(tmp_path / "no folder" / "gate.xml")
    arguments = [option] if option == "--summary" else [option, summary]
    if option != "--junit":
        arguments += ["--junit", str(file)]
    rule = ("--at-least", "right=.5")
    done = gate(folder, *rule, *arguments, GITHUB_STEP_SUMMARY=summary)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert f"cannot be written to '{summary}': No such file or directory. Name" in done.stderr
    assert "Errno" not in done.stderr
    assert not file.exists()


def test_an_older_report_stays_where_the_gate_cannot_start(folder: Path, tmp_path: Path) -> None:
    make(folder, {"new": passes(40, 40)})
    file = tmp_path / "gate.xml"
    file.write_text("older", encoding="utf-8")
    assert gate(folder, "--run-config", "nope", "--junit", str(file)).exit_code == 2
    assert file.read_text(encoding="utf-8") == "older"


def test_names_in_reports_neither_control_a_terminal_nor_turn_letters() -> None:
    name = "E\x1b[31m\u202e|<b>" + "x" * 300
    check = GateCheck(name, name, CheckOutcome.FAIL, f"{name}\nsecond line")
    report = GateReport(name, [name], [check], NEW, [name])
    markdown, junit = markdown_summary(report), junit_xml(report).decode("utf-8")
    for text in (markdown, junit):
        assert not {"\x1b", "\u202e"} & set(text)
        assert "x" * 201 not in text
    assert r"E\\u001b\[31m\\u202e\|\<b>" in markdown
    assert r"E\u001b[31m\u202e|&lt;b&gt;" in junit


def test_the_json_report_escapes_what_turns_letters_and_keeps_the_value(folder: Path) -> None:
    make(folder, {"new": passes(40, 40)})
    [file] = folder.rglob("eval.kiln")
    hostile = {**json.loads(file.read_text(encoding="utf-8")), "name": "Right \u202e"}
    file.write_text(json.dumps(hostile), encoding="utf-8")
    done = gate(folder, "--at-least", "right=.5", "--json")
    assert "\u202e" not in done.stdout
    assert json.loads(done.stdout)["checks"][0]["eval"].startswith("Right")


def test_the_json_report_says_the_same(folder: Path) -> None:
    make(folder, {"new": passes(40, 40)})
    done = gate(folder, "--at-least", "right=.5", "--json")
    report = json.loads(done.stdout)
    assert (report["outcome"], report["run_configs"]) == ("pass", ["new"])
    assert [check["outcome"] for check in report["checks"]] == ["pass", "pass"]


def test_a_judge_that_nobody_compared_with_people_is_named(folder: Path) -> None:
    make(folder, {"new": passes(40, 40)}, StoredResults(evaluator=JUDGE))
    done = gate(folder, "--at-least", "right=.5")
    assert done.exit_code == 0
    assert "note  Right: its judge was never compared with people's labels" in done.output


def drifting(judge_now: int, feature_now: int) -> list[StoredVerdict]:
    """Return old outputs that all passed, judged again, and new outputs by today's judge."""
    count = 40
    old = passes(count, 36)
    again = [StoredVerdict(n, float(n < judge_now), 0, 1, NEW) for n in range(count)]
    fresh = [StoredVerdict(n, float(n < feature_now), 1, 0, NEW) for n in range(count)]
    return [*old, *again, *fresh]


@pytest.mark.parametrize(
    ("judge_now", "feature_now", "failing"),
    [
        (10, 10, "right: the judge moved at most 10 points"),
        (36, 10, "right: the feature lost at most 10 points"),
    ],
)
def test_drift_of_the_judge_is_told_from_drift_of_the_feature(
    folder: Path, judge_now: int, feature_now: int, failing: str
) -> None:
    make(folder, {"new": drifting(judge_now, feature_now)}, StoredResults(evaluator=JUDGE))
    done = gate(folder, "--drift", "--since", "2026-02-01", "--no-worse", "10", "--json")
    checks = json.loads(done.stdout)["checks"]
    outcomes = {
        c["check"]: c["outcome"]
        for c in checks
        if " moved " in c["check"] or " lost " in c["check"]
    }
    assert len(outcomes) == 2
    assert [name for name, outcome in outcomes.items() if outcome == "fail"] == [failing]


def test_drift_cannot_be_told_without_new_verdicts_of_old_outputs(folder: Path) -> None:
    make(folder, {"new": passes(40, 36)}, StoredResults(evaluator=JUDGE))
    done = gate(folder, "--drift", "--since", "2026-02-01")
    assert done.exit_code == 2
    assert "too few outputs from before were judged again" in done.output


def commands_of_docs() -> list[str]:
    """Return the calls of the gate in its page, as a person or a pipeline gives them."""
    text = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    return re.findall(r"^(?: {4}|.*?- (?:run: )?)kiln-mcp gate (.+)$", text, re.MULTILINE)


def test_the_commands_of_the_page_run_in_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = StoredResults(scores={"correct": "pass_fail"})
    make(tmp_path / "evals", {"prompt 4": passes(40, 40)}, results)
    monkeypatch.chdir(tmp_path)
    codes: list[int] = []
    for line in commands_of_docs():
        runner = CliRunner(env={"KILN_MCP_HOME": str(tmp_path / "no home")})
        codes.append(runner.invoke(cli, ["gate", *shlex.split(line)]).exit_code)
    assert codes == [0, 2, 0, 0]
    assert (tmp_path / "gate.xml").exists()


@pytest.mark.slow
def test_the_gate_imports_no_heavy_library_where_it_compares_nothing(folder: Path) -> None:
    make(folder, {"new": passes(40, 40)})
    code = (
        "import sys; from kiln_mcp.doors.cli.program import main; "
        f"sys.argv = ['kiln-mcp', 'gate', '--project', {str(folder)!r}, '--at-least', 'right=.5']; "
        "main()"
    )
    home = {"KILN_MCP_HOME": str(folder.parent / "no home")}
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(
        command, env={**os.environ, **home}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    heavy = re.findall(r"\| +(litellm|scipy|dbos|numpy)$", done.stderr, re.MULTILINE)
    assert heavy == []
