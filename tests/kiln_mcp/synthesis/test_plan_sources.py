"""Inputs rest on passages that hold their answer, or on traces without personal details."""

import re
from pathlib import Path

import pytest
from pydantic import JsonValue

from data_writer import DataWriter, data_project, new_text, planned, runs_in, slots_in
from kiln_mcp.datasets.items import is_known_right
from kiln_mcp.llm import ModelRequest
from kiln_mcp.synthesis.answers import GeneratedData
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.synthesis.personal_details import PersonalDetails
from kiln_mcp.synthesis.plan_sources import LONGEST_PASSAGE, passages, quotes
from storage import DataSource, Task, TaskOutput, TaskRun
from storage.errors import InvalidValue, Refusal

GUIDE = "\n\n".join(
    f"Chapter {number}. The red lever number {number} opens gate {number} of the old canal. "
    "It is oiled each spring by the keeper of the lock, who lives beside the water."
    for number in range(1, 21)
)


class Reader(DataWriter):
    """Asks about passages; every fourth quotation is made up."""

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        """Return a question for each slot, with its answer and the words that it rests on."""
        text = request.messages[-1].content
        rows: list[dict[str, object]] = []
        for slot in slots_in(request):
            lever = re.search(rf"^{slot}\..*\n   material: .*?lever number (\d+)", text, re.M)
            words = f"red lever number {lever[1]}" if lever else "?"
            rows.append(
                {
                    "slot": slot,
                    "input": new_text(number, slot),
                    "answer": f"Gate {slot}.",
                    "quotation": "never said" if slot % 4 == 0 and number < 2 else words,
                }
            )
        return rows


async def test_questions_keep_the_passage_and_the_words_that_their_answer_rests_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "guide.md").write_text(GUIDE)
    writer = Reader()
    async with data_project(tmp_path, writer) as (workspace, project):
        settings: JsonValue = {"count": 8, "topics": ["a"], "documents": ["guide.md"]}
        report = await planned(workspace, project, settings)
        assert report.settings["outputs"] == "reference"
        assert report.calls == 1
        assert [text.split(":")[0] for text in report.sources] == ["1. guide.md 1", "2. guide.md 2"]
        made = await generate_data(workspace, project, plan=report.id)
        assert isinstance(made, GeneratedData)
        assert made.reject_reasons == {"its words are not in the passage": 2}
        assert (made.items, made.verified_items) == (8, 8)
        for run in await runs_in(workspace, project):
            assert run.input_source is not None
            properties = run.input_source.properties
            assert properties["document"] == "guide.md"
            assert str(properties["quotation"]) in GUIDE
            assert run.output.output.startswith("Gate")
            assert is_known_right(run)


async def test_a_document_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(b"%PDF\xff\xfe")
    async with data_project(tmp_path, Reader()) as (workspace, project):
        for name in ("scan.pdf", "none.md"):
            with pytest.raises(Refusal, match=r"cannot be used: .* plain text"):
                await planned(workspace, project, {"topics": ["a"], "documents": [name]})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b" \n\n", "it is empty"),
        (b"%PDF-1.4\0\1", "it is no text"),
        ("außer".encode("cp1252"), "save it as UTF-8"),
    ],
)
async def test_a_document_without_text_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    document = tmp_path / "d.txt"
    document.write_bytes(content)
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        with pytest.raises(Refusal, match=reason):
            await planned(workspace, project, {"count": 1, "documents": [str(document)]})


async def test_a_document_in_utf_16_with_its_mark_is_read(tmp_path: Path) -> None:
    document = tmp_path / "d.txt"
    document.write_text("Returns are free for thirty days.", encoding="utf-16")
    settings: JsonValue = {"count": 1, "topics": ["a"], "documents": [str(document)]}
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        report = await planned(workspace, project, settings)
        assert "Returns are free for thirty days." in report.sources[0]


async def test_a_plan_of_the_wrong_form_or_without_items_is_refused(tmp_path: Path) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        with pytest.raises(InvalidValue, match="`plan` has to be 'new'"):
            await generate_data(workspace, project, plan=[1])
        clauses: JsonValue = [{"id": "c1", "text": "Be kind."}]
        quotas: JsonValue = [{"clause": "c1", "aim": "pass", "count": 0}]
        with pytest.raises(InvalidValue, match="add up to 0 items"):
            await planned(workspace, project, {"clauses": clauses, "quotas": quotas})


async def test_own_inputs_that_do_not_fit_are_refused_before_a_job_begins(tmp_path: Path) -> None:
    schema = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'
    async with data_project(tmp_path, DataWriter(), input_schema=schema) as (workspace, project):
        with pytest.raises(Refusal, match="Item 1 cannot be used"):
            await generate_data(workspace, project, inputs=[{"a": "text"}])


def test_passages_hold_all_of_a_text_and_none_is_too_long() -> None:
    long = " ".join(f"Sentence {number} goes on for a while." for number in range(200))
    parts = list(passages(f"{GUIDE}\n\n{long}"))
    assert all(len(part) <= LONGEST_PASSAGE for part in parts)
    joined = " ".join(" ".join(parts).split())
    assert joined == " ".join(f"{GUIDE} {long}".split())
    without_spaces = (
        "\u5546\u54c1\u306f\u767a\u9001\u3055\u308c\u307e\u3057\u305f\u3002" * 400,
        "x" * 9000,
    )
    for text in without_spaces:
        assert "".join(passages(text)) == text
        assert max(map(len, passages(text))) <= LONGEST_PASSAGE
    assert list(passages("short")) == ["short"]
    assert list(passages("\n\n")) == []


def test_a_quotation_may_differ_in_white_space_and_case_alone() -> None:
    assert quotes("The red\n  lever opens.", '"the red lever"')
    assert not quotes("The red lever opens.", "the lever")
    assert not quotes("The red lever opens.", "  ")


TRACES = (
    "Hello Sarah, my name is John Smith and order 8837261 never came. Mail john.s@example.org.",
    "Where is parcel 99120? Call +44 7700 900123.\nKind regards,\nMaria Costa",
)


async def test_traces_are_shown_and_sent_without_personal_details(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        store = await workspace.open_project(project)
        (task,) = await store.children(store.project, Task)
        with pytest.raises(Refusal, match="no imported traces"):
            await planned(workspace, project, {"topics": ["a"], "traces": 2})
        source = DataSource(
            type="synthetic",
            properties={"model_name": "m", "model_provider": "p", "adapter_name": "import"},
        )
        for text in TRACES:
            run = TaskRun(input=text, output=TaskOutput(output="We look.", source=source))
            await store.save(run, parent=task)
        settings: JsonValue = {"count": 4, "topics": ["a"], "traces": 2, "examples": ["Where?"]}
        report = await planned(workspace, project, settings)
        assert len(report.sources) == 2
        await generate_data(workspace, project, plan=report.id)
        (request,) = writer.list_requests("inputs")
        seen = " ".join([*report.sources, *(message.content for message in request.messages)])
        for detail in ("Sarah", "John", "Smith", "8837261", "john.s", "Maria", "Costa", "7700"):
            assert detail not in seen
        assert "never came" in seen
        made = [run for run in await runs_in(workspace, project) if "synthetic" in run.tags]
        origins = {run.input_source.properties["seed_example"] for run in made if run.input_source}
        assert len(origins) == 2


@pytest.mark.parametrize(
    ("text", "clean_text"),
    [
        ("Sehr geehrte Frau Müller, ich bin Peter von Hohen.", "Sehr geehrte Frau [name 2], ich "
         "bin [name 1]."),
        ("IBAN DE89 3704 0044 0532 0130 00, Hauptstraße 12", "IBAN [account 1], [street 1]"),
        ("see https://shop.example/o/88?x=1.", "see [link 1]."),
        ("from 10.0.0.12 and 12 Baker Street", "from [address 1] and [street 1]"),
        ("Thanks!\nMaria", "Thanks!\n[name 1]"),
        ("Hi team, I'm Still waiting. I am Very cross.", "Hi team, I'm Still waiting. I am Very "
         "cross."),
        ("Viele Grüße\nJ. Müller", "Viele Grüße\n[name 1]"),
        ("Mit freundlichen Grüßen, Sabine Köhler", "Mit freundlichen Grüßen, [name 1]"),
        ("Kind regards Ann Lee\nSent from my phone", "Kind regards [name 1]\nSent from my phone"),
        ("Thanks, Great service in Paris.", "Thanks, Great service in Paris."),
        ("Geboren am 3. April 1975, Lange Straße 7", "Geboren am [birthday 1], [street 1]"),
        ("Date of birth: 1975-04-03", "Date of birth: [birthday 1]"),
        ("生年月日は昭和50年4月3日です。", "生年月日は[birthday 1]です。"),
        ("Ordered on 3 April 2025.", "Ordered on 3 April 2025."),
        ("Frau Dr. Weber, hier schreibt Anna Schmidt", "Frau Dr. [name 2], hier schreibt [name 1]"),
        ("山田太郎と申します。電話は090-1234-5678", "[name 1]と申します。電話は[phone 1]"),
        ("メールはtaro@example.co.jpまで。", "メールは[email 1]まで。"),
        ("田中様、住所は東京都渋谷区神宮前1-2-3です。", "[name 1]様、住所は[address 1]です。"),
        ("我叫王小明\uff0c电话是13812345678。", "我叫[name 1]\uff0c电话是[phone 1]。"),
        ("お客様、商品は3個です。", "お客様、商品は3個です。"),
        ("The Apollo kettle cost 25 euros in Paris.", "The Apollo kettle cost 25 euros in Paris."),
    ],
)  # fmt: skip
def test_what_has_a_form_or_is_announced_as_a_name_gets_a_stand_in(
    text: str, clean_text: str
) -> None:
    assert PersonalDetails().replace(text) == clean_text


def test_one_person_keeps_one_stand_in_over_all_texts() -> None:
    details = PersonalDetails()
    first = details.replace("My name is Ann Lee. Ann")
    second = details.replace("Dear Ann Lee,")
    assert (first, second) == ("My name is [name 1]. [name 1]", "Dear [name 1],")
