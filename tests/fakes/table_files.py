"""Files of tables in the encodings, separators and shapes that people bring.

Each holds the same two items, so that a reader that loses something is seen at once.
"""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl

ITEMS = [("Wo ist das Café?", "An der Seine"), ("Line one,\nline two", 'He said "yes"; twice')]
PLAIN = [("Where is Oslo?", "In Norway"), ("Where is Rome?", "In Italy")]
Content = Callable[[], bytes]


def csv_text(
    rows: Sequence[Sequence[str]], delimiter: str = ",", end: str = "\r\n", *, quotes: bool = False
) -> str:
    out = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quotes else csv.QUOTE_MINIMAL
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue()


def table(
    names: Sequence[str] = ("input", "output"),
    items: Sequence[tuple[str, str]] = ITEMS,
    *,
    delimiter: str = ",",
    end: str = "\r\n",
    encoding: str = "utf-8",
    before: str = "",
    after: str = "",
    quotes: bool = False,
) -> Content:
    text = before + csv_text([names, *items], delimiter, end, quotes=quotes) + after
    return lambda: text.encode(encoding)


def lines(
    rows: Sequence[Mapping[str, object]], encoding: str = "utf-8", *, is_ascii: bool = False
) -> Content:
    text = "".join(json.dumps(row, ensure_ascii=is_ascii) + "\n" for row in rows)
    return lambda: text.encode(encoding)


def document(value: object, indent: int | None = None, encoding: str = "utf-8") -> Content:
    return lambda: json.dumps(value, ensure_ascii=False, indent=indent).encode(encoding)


def workbook(
    rows: Sequence[Sequence[object]],
    *,
    title: str = "Data",
    other: str | None = None,
    merged: Sequence[str] = (),
) -> Content:
    def content() -> bytes:
        book, out = openpyxl.Workbook(), io.BytesIO()
        sheet = book.active
        assert sheet is not None
        sheet.title = title
        for row in rows:
            sheet.append(list(row))
        for cells in merged:
            sheet.merge_cells(cells)
        if other is not None:
            book.create_sheet(other).append(["notes"])
        book.save(out)
        return out.getvalue()

    return content


def packed(content: Content) -> Content:
    return lambda: gzip.compress(content())


def bomb() -> bytes:
    """A spreadsheet whose shared texts unpack to far more than is read."""
    out = io.BytesIO()
    with (
        ZipFile(out, "w", ZIP_DEFLATED) as archive,
        archive.open("xl/sharedStrings.xml", "w") as part,
    ):
        for _ in range(257):
            part.write(b"a" * (1 << 20))
    return out.getvalue()


def _chat(question: str, answer: str) -> dict[str, object]:
    system = {"role": "system", "content": "Be brief."}
    return {"messages": [system, {"role": "user", "content": question},
                         {"role": "assistant", "content": answer}]}  # fmt: skip


def _page(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    return {
        "features": [],
        "rows": [
            {"row_idx": number, "row": row, "truncated_cells": []}
            for number, row in enumerate(rows)
        ],
    }


def _squad(items: Sequence[tuple[str, str]]) -> dict[str, object]:
    paragraphs = [
        {"context": question.split()[0], "qas": [
            {"question": question.partition(" ")[2], "id": "1", "is_impossible": False,
             "answers": [{"text": answer, "answer_start": 0}]}]}
        for question, answer in items
    ]  # fmt: skip
    return {"version": "v2.0", "data": [{"title": "Cities", "paragraphs": paragraphs}]}


def _promptfoo_result(number: int, question: str, answer: str) -> dict[str, object]:
    return {
        "id": f"result-{number}",
        "provider": {"id": "openai:chat:gpt-4o", "label": ""},
        "prompt": {"raw": question, "label": "{{q}}"},
        "vars": {"q": question},
        "response": {"output": answer, "tokenUsage": {"total": 12, "prompt": 9, "completion": 3}},
        "testCase": {"vars": {"q": question}, "assert": [{"type": "equals", "value": "?"}]},
        "success": number == 0,
        "score": 1 - number,
        "gradingResult": {"pass": number == 0, "score": 1 - number, "reason": "as asked"},
        "latencyMs": 250,
        "cost": 0.001,
    }


def _pairs(*names: str) -> list[dict[str, object]]:
    return [dict(zip(names, item, strict=True)) for item in ITEMS]


ENCODINGS: dict[str, Content] = {
    "plain.csv": table(),
    "mark.csv": table(encoding="utf-8-sig"),
    "unix.csv": table(end="\n"),
    "old mac.csv": lambda: csv_text([("input", "output"), *PLAIN], end="\r").encode(),
    "semicolon.csv": table(delimiter=";", encoding="utf-8-sig"),
    "tabs.tsv": table(delimiter="\t"),
    "tabs.txt": table(delimiter="\t", end="\n"),
    "bars.csv": table(delimiter="|"),
    "sep line.csv": table(delimiter=";", before="sep=;\r\n"),
    "sep and mark.csv": table(delimiter=";", before="sep=;\r\n", encoding="utf-8-sig"),
    "unicode text.txt": table(delimiter="\t", encoding="utf-16"),
    "wide, no mark.csv": table(encoding="utf-16-le"),
    "wide, other end.csv": table(encoding="utf-16-be"),
    "four bytes.csv": table(encoding="utf-32"),
    "all quoted.csv": table(quotes=True),
    "blank lines before.csv": table(before="\r\n\r\n"),
    "empty rows after.csv": table(after=",\r\n,\r\n"),
    "usual names.csv": table(("Question", "Expected Output")),
    "spaces in names.csv": table((" Prompt ", " completion")),
    "one more column.csv": lambda: csv_text(
        [("id", "input", "output"), *((str(n), *item) for n, item in enumerate(ITEMS))]
    ).encode(),
    "packed.csv.gz": packed(table()),
    "spreadsheet.xlsx": workbook([("input", "output"), *ITEMS]),
    "with empty rows.xlsx": workbook([("input", "output"), ITEMS[0], (), ITEMS[1], ()]),
    "two sheets.xlsx": workbook([("Question", "Answer"), *ITEMS], other="Notes"),
    "merged cells.xlsx": workbook(
        [("input", "output", "topic"), (*ITEMS[0], "cities"), ITEMS[1]],
        merged=("C2:C3", "D1:E1"),
    ),
    "spreadsheet.csv": workbook([("input", "output"), *ITEMS]),
}
"""Texts and spreadsheets, by the name of the file."""

SHAPES: dict[str, Content] = {
    "lines.jsonl": lines(_pairs("input", "output")),
    "lines.ndjson": lines(_pairs("question", "answer"), is_ascii=True),
    "mark.jsonl": lines(_pairs("prompt", "completion"), "utf-8-sig"),
    "wide.jsonl": lines(_pairs("input", "output"), "utf-16"),
    "packed.jsonl.gz": packed(lines(_pairs("input", "output"))),
    "list.json": document(_pairs("input", "output")),
    "indented list.json": document(_pairs("input", "output"), 2),
    "lines as .json": lines(_pairs("input", "output")),
    "one line document.json": document({"data": _pairs("input", "output")}),
    "indented document.json": document({"examples": _pairs("input", "output")}, 4),
    "objects one after the other.json": lambda: "\n".join(
        json.dumps(row, indent=1) for row in _pairs("input", "output")
    ).encode(),
    "hugging face page.json": document(_page(_pairs("question", "answer"))),
    "openai chat.jsonl": lines([_chat(*item) for item in ITEMS]),
    "openai chat.json": document([_chat(*item) for item in ITEMS]),
    "openai prompt.jsonl": lines(_pairs("prompt", "completion")),
    "openai evals.jsonl": lines(
        [{"input": [{"role": "user", "content": a}], "ideal": [b, "?"]} for a, b in ITEMS]
    ),
    "openai evals items.jsonl": lines([{"item": row} for row in _pairs("input", "ideal")]),
    "inspect.jsonl": lines(_pairs("input", "target")),
    "inspect.json": document(
        [{"input": a, "target": [b], "metadata": {"tags": "x"}} for a, b in ITEMS]
    ),
    "promptfoo.json": document(
        {"prompts": ["{{q}}"], "tests": [
            {"vars": {"q": a}, "assert": [{"type": "llm-rubric", "value": "polite"},
                                          {"type": "equals", "value": b}]} for a, b in ITEMS]}
    ),
    "promptfooconfig.yaml": lambda: (
        "prompts: ['{{q}}']\ntests:\n"
        + "".join(
            f"  - vars: {{q: {json.dumps(a)}}}\n    assert:\n"
            f"      - {{type: llm-rubric, value: polite}}\n"
            f"      - type: equals\n        value: {json.dumps(b)}\n"
            for a, b in ITEMS
        )
    ).encode(),
    "promptfoo tests.yml": lambda: "".join(
        f"- vars:\n    q: {json.dumps(a)}\n  assert: [{{type: equals, value: {json.dumps(b)}}}]\n"
        for a, b in ITEMS
    ).encode(),
    "promptfoo results.json": document(
        {"evalId": "e", "config": {}, "results": {"version": 3, "stats": {}, "results": [
            _promptfoo_result(n, *item) for n, item in enumerate(ITEMS)]}}
    ),
    "promptfoo results.jsonl": lines(
        [_promptfoo_result(n, *item) for n, item in enumerate(ITEMS)]
    ),
    "promptfoo.csv": table(("q", "__expected")),
    "langfuse.json": document(
        [{"id": str(n), "input": {"question": a}, "expectedOutput": {"answer": b},
          "metadata": None, "status": "ACTIVE"} for n, (a, b) in enumerate(ITEMS)]
    ),
    "langfuse.csv": table(("input", "expected_output")),
    "langsmith.jsonl": lines(
        [{"inputs": {"question": a}, "outputs": {"answer": b}, "metadata": {}} for a, b in ITEMS]
    ),
    "alpaca.json": document(
        [{"instruction": a, "input": "", "output": b} for a, b in ITEMS]
    ),
    "dolly.jsonl": lines(
        [{"instruction": a, "context": "", "response": b, "category": "qa"} for a, b in ITEMS]
    ),
    "sharegpt.json": document(
        [{"conversations": [{"from": "human", "value": a}, {"from": "gpt", "value": b}]}
         for a, b in ITEMS]
    ),
    "messages in cells.csv": lambda: csv_text(
        [("messages",), *((json.dumps(_chat(*item)["messages"]),) for item in ITEMS)]
    ).encode(),
}  # fmt: skip
"""Shapes that are known by sight, by the name of the file."""

SQUAD = document(_squad(PLAIN))
"""Its inputs begin with the context, so its items are not those of the others."""
