"""Score the examination by a model on the drafts of this folder.

    export PYTHONPATH=.:benchmarks/specs
    python benchmarks/specs/examination.py                        # recorded answers of `host`
    python benchmarks/specs/examination.py --model ollama/NAME    # live, on any model
    python benchmarks/specs/examination.py --orders FILE          # write what is not answered yet
    python benchmarks/specs/examination.py --record FILE ANSWERS  # keep answers to such orders

Orders are shuffled, and show what the model reads and nothing else: neither the id of a draft nor
its planted fault. ANSWERS holds the number of an order and its answer as JSON on each line.
"""

import argparse
import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from recorded_model import RECORDED, RecordedModel, key_of
from spec_drafts import SpecDraft, is_hit, read_drafts, score

from kiln_mcp.llm import Engine, EngineSettings, ModelRequest
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.spec_texts.findings import is_alarm
from kiln_mcp.spec_texts.spec_checks import check_content
from kiln_mcp.spec_texts.spec_content import Finding, FindingKind
from kiln_mcp.specs.examination import examine
from kiln_mcp.specs.model_calls import SpecWriter

SEED = 15
AT_ONCE = 4


async def findings_of(
    writer: SpecWriter, drafts: Sequence[SpecDraft]
) -> tuple[dict[str, tuple[Finding, ...]], list[str]]:
    """Return the alarms on each draft, and the ids of the drafts without a usable answer."""
    slots = asyncio.Semaphore(AT_ONCE)
    findings: dict[str, tuple[Finding, ...]] = {}
    failed: list[str] = []

    async def look(draft: SpecDraft) -> None:
        rules = check_content(draft.content, draft.context)
        async with slots:
            try:
                items = await examine(writer, draft.content, draft.context, rules)
            except ModelError as error:
                failed.append(f"{draft.id}: {error}")
                items = rules
        findings[draft.id] = tuple(item for item in items if is_alarm(item))

    await asyncio.gather(*(look(draft) for draft in drafts))
    return findings, failed


def print_scores(findings: Mapping[str, Sequence[Finding]], drafts: Sequence[SpecDraft]) -> None:
    for title, part in (
        *((name, [d for d in drafts if d.language == name]) for name in ("en", "de", "ja")),
        *((name, [d for d in drafts if d.level == name]) for name in ("blatant", "subtle")),
        *(
            (str(kind), [d for d in drafts if d.fault and d.fault.kind is kind])
            for kind in FindingKind
        ),
        ("all", drafts),
    ):
        print(f"{title}: {score(findings, part).text}")


def print_misses(findings: Mapping[str, Sequence[Finding]], drafts: Sequence[SpecDraft]) -> None:
    for draft in drafts:
        items = findings[draft.id]
        if draft.fault is None and not items:
            continue
        if draft.fault and any(is_hit(item, draft.fault) for item in items) and len(items) == 1:
            continue
        print(draft.id, draft.fault)
        for item in items:
            print(f"    {item.source} {item.kind} {item.clause} {item.words!r} {item.why}")


def write_orders(orders: Sequence[ModelRequest], path: Path) -> None:
    unique = list({key_of(order): order for order in orders}.values())
    random.Random(SEED).shuffle(unique)
    lines = [
        json.dumps({"key": key_of(order), "text": order.messages[-1].content}, ensure_ascii=False)
        for order in unique
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(unique)} orders in {path}; their system message:\n")
    print(unique[0].messages[0].content if unique else "none")


def record(orders: Path, answers: Path, target: Path) -> None:
    keys = [json.loads(line)["key"] for line in orders.read_text("utf-8").splitlines()]
    with target.open("a", encoding="utf-8") as file:
        for line in answers.read_text("utf-8").splitlines():
            if line.strip():
                number, _, text = line.partition(" ")
                entry = {"key": keys[int(number) - 1], "answer": json.loads(text)}
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="left out: the recorded answers of `host`")
    parser.add_argument("--every", type=int, default=1, help="take every n-th draft only")
    parser.add_argument("--orders", type=Path)
    parser.add_argument("--record", type=Path, nargs=2)
    options = parser.parse_args()
    target = RECORDED / "host.jsonl"
    if options.record:
        record(*options.record, target)
        return
    drafts = read_drafts()[:: options.every]
    script = RecordedModel(target)
    async with Engine(EngineSettings(), {"recorded": script}) as engine:
        writer = SpecWriter(engine, options.model or "recorded", "")
        findings, failed = await findings_of(writer, drafts)
    if options.orders:
        write_orders(script.open_orders, options.orders)
        return
    print_scores(findings, drafts)
    print_misses(findings, drafts)
    print(f"without a usable answer: {len(failed)}", *failed[:5], sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
