"""Our own regular expressions take time that is linear in the text."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kiln_mcp.spec_texts.spec_checks import CheckContext, check_content
from kiln_mcp.specs.drafts import draft_by_rules
from tests.pattern_inventory import Use, takes_too_long, text_pairs

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_none_of_our_patterns_is_slow_on_100_kb_of_any_nasty_text() -> None:
    command = [sys.executable, str(ROOT / "tests" / "pattern_inventory.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=480, check=True, cwd=ROOT
    )
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [r"\s+$", r"(a+)+b", r"\w+@", r"<[^>]*>.*</a"])
def test_a_pattern_that_takes_the_square_of_a_text_is_found(pattern: str) -> None:
    use = Use("here", re.compile(pattern), "search")
    assert any(takes_too_long(use, *texts) for texts in text_pairs(pattern))


def test_a_pattern_that_is_linear_is_not_found() -> None:
    use = Use("here", re.compile(r"(?<!\w)\w{1,64}@"), "search")
    assert not any(takes_too_long(use, *texts) for texts in text_pairs(use.pattern.pattern))


@pytest.mark.parametrize("unit", ["7", "short ", "user ", "a and is ", 'x" means: ', "- some\n"])
def test_drafting_and_its_rules_are_quick_on_64_kb(unit: str) -> None:
    text = unit * (64_000 // len(unit))
    started = time.process_time()
    (draft, *_) = draft_by_rules(text)
    check_content(draft.content, CheckContext(instruction=text))
    assert time.process_time() - started < 5
