"""Score the checks without a model on the drafts of this folder.

PYTHONPATH=.:benchmarks/specs python benchmarks/specs/checks.py [--half open] [--show] [--fresh]
"""

import argparse
import time

from spec_drafts import DRAFTS, FRESH, read_drafts, score

from kiln_mcp.spec_texts.findings import is_alarm, is_missing_example
from kiln_mcp.spec_texts.spec_checks import check_content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=["open", "held out"])
    parser.add_argument("--fresh", action="store_true", help="take the clean drafts of fresh/")
    parser.add_argument("--show", action="store_true", help="print every finding")
    options = parser.parse_args()
    every = read_drafts(FRESH if options.fresh else DRAFTS)
    drafts = [draft for draft in every if options.half in {None, draft.half}]
    started = time.process_time()
    findings = {draft.id: check_content(draft.content, draft.context) for draft in drafts}
    seconds = time.process_time() - started
    # A missing example is not a fault of the words: it is a wish for more of them.
    worded = {
        id_: [item for item in items if not is_missing_example(item)]
        for id_, items in findings.items()
    }
    alarms = {id_: [item for item in items if is_alarm(item)] for id_, items in worded.items()}
    for language in sorted({draft.language for draft in drafts}):
        part = [draft for draft in drafts if draft.language == language]
        print(f"{language}: alarms: {score(alarms, part).text}")
        print(f"{language}: with hints: {score(worded, part).text}")
    print(f"all: alarms: {score(alarms, drafts).text}")
    print(f"all: with hints: {score(worded, drafts).text}")
    print(f"{1000 * seconds / len(drafts):.2f} ms of CPU a spec")
    if options.show:
        for draft in drafts:
            print(draft.id, draft.fault)
            for item in worded[draft.id]:
                print(f"    {item.confidence} {item.kind} {item.clause} {item.words!r} {item.why}")


if __name__ == "__main__":
    main()
