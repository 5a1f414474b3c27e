"""Two runs of the demo, answer by answer.

.venv/bin/python benchmarks/house/compare_answers.py BEFORE AFTER

Both are response caches: `FOLDER/SEED/home/responses.sqlite` of `demo.py --keep FOLDER`.
"""

import json
import sqlite3
import sys

QUERY = (
    "SELECT request_hash, sample, answer, input_tokens - cached_tokens, output_tokens FROM calls "
    "ORDER BY id DESC"
)


def answers(path: str) -> dict[tuple[bytes, int], tuple[object, int, int]]:
    with sqlite3.connect(path) as store:
        return {
            (key, sample): (json.loads(answer).get("parsed"), read, written)
            for key, sample, answer, read, written in store.execute(QUERY)
        }


before, after = (answers(path) for path in sys.argv[1:])
common = before.keys() & after.keys()
same = sum(before[key][0] == after[key][0] for key in common)
print(
    f"{len(before)} and {len(after)} answers, {len(common)} of the same requests, {same} the same"
)
for name, answers_by_request in (("before", before), ("after", after)):
    read, written = (sum(answers_by_request[key][place] for key in common) for place in (1, 2))
    print(f"{name}: {read} tokens read anew, {written} tokens of answers")
for key in sorted(common):
    if before[key][0] != after[key][0]:
        print(f"  {before[key][0]} -> {after[key][0]}")
