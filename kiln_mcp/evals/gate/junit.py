"""The report of a gate as JUnit XML, as GitHub, GitLab and Jenkins read it."""

from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree

from kiln_mcp.evals.gate.checks import CheckOutcome, GateCheck
from kiln_mcp.evals.gate.gate_report import GateReport
from storage.text.excerpts import defuse

_ELEMENTS: Final = {CheckOutcome.FAIL: "failure", CheckOutcome.CANNOT_TELL: "error"}


def junit_xml(report: GateReport, seconds: float = 0.0) -> bytes:
    """Return a report as JUnit XML: an eval is a suite, a check a case.

    A failed check is a failure, and one that cannot be told an error.

    Args:
        report: The report.
        seconds: How long the gate took.
    """
    root = ElementTree.Element("testsuites", {"name": "kiln-mcp gate", "time": f"{seconds:.3f}"})
    for name in dict.fromkeys(check.eval for check in report.checks):
        checks = [check for check in report.checks if check.eval == name]
        root.append(_suite(name, checks, f"{report.at:%Y-%m-%dT%H:%M:%S}"))
    root.attrib |= _counts(report.checks)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _suite(name: str, checks: list[GateCheck], at: str) -> ElementTree.Element:
    attributes = {"name": _plain(name), "timestamp": at, "time": "0.000", "skipped": "0"}
    suite = ElementTree.Element("testsuite", {**attributes, **_counts(checks)})
    for check in checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": _plain(check.eval), "name": _plain(check.name), "time": "0.000"},
        )
        kind = _ELEMENTS.get(check.outcome)
        says = _plain(check.says)
        if kind is None:
            ElementTree.SubElement(case, "system-out").text = says
        else:
            note = {"message": says, "type": check.outcome.value}
            ElementTree.SubElement(case, kind, note).text = says
    return suite


def _counts(checks: Iterable[GateCheck]) -> dict[str, str]:
    outcomes = [check.outcome for check in checks]
    return {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count(CheckOutcome.FAIL)),
        "errors": str(outcomes.count(CheckOutcome.CANNOT_TELL)),
    }


def _plain(text: str) -> str:
    """Return a text on one line, with the characters alone that XML can hold."""
    return "".join(
        character
        for character in defuse(text)
        if character in "\t\n\r" or "\x20" <= character <= "\ud7ff" or character >= "\ue000"
    ).translate({0xFFFE: None, 0xFFFF: None})
