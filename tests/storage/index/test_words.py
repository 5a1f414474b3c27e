"""Text search finds what a person would look for, in any script."""

from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.index.queries import RunQuery

_TEXTS = (
    "日本語のテキスト検索",
    "東京は日本の首都です",
    "ภาษาไทย ที่",
    "🎉 done",
    "🥳🫠👍🏽",
    "the libx264 codec",
    "Straße 12",
    "한국어를 배우다",
    "naïve cafe\u0301",
    "हिन्दी भाषा",
    "İstanbul",
    "20°C ΣΊΣΥΦΟΣ",
    "ﬁne \uff21\uff22\uff23",
    "𠮷野家",
)
_FOUND = {
    "日本": ("日本語のテキスト検索", "東京は日本の首都です"),
    "日本語": ("日本語のテキスト検索",),
    "首": ("東京は日本の首都です",),
    "本東": (),
    "ไทย": ("ภาษาไทย ที่",),
    "ที่": ("ภาษาไทย ที่",),
    "ท": ("ภาษาไทย ที่",),
    "🎉": ("🎉 done",),
    "🫠": ("🥳🫠👍🏽",),
    "👍": ("🥳🫠👍🏽",),
    "libx26": ("the libx264 codec",),
    "LIBX264 Code": ("the libx264 codec",),
    "lib done": (),
    "strasse": ("Straße 12",),
    "STRASSE": ("Straße 12",),
    "straß": ("Straße 12",),
    "한국": ("한국어를 배우다",),
    "국어": ("한국어를 배우다",),
    "naive": ("naïve cafe\u0301",),
    "café": ("naïve cafe\u0301",),
    "हिन": ("हिन्दी भाषा",),
    "हन": (),
    "istanbul": ("İstanbul",),
    "°C": ("20°C ΣΊΣΥΦΟΣ",),
    "20": ("20°C ΣΊΣΥΦΟΣ",),
    "σίσυφος": ("20°C ΣΊΣΥΦΟΣ",),
    "abc fine": ("ﬁne \uff21\uff22\uff23",),
    "𠮷": ("𠮷野家",),
    "co": (),
}


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        async with store.transaction() as change:
            for text in _TEXTS:
                change.save(TaskRun(input=text, output=TaskOutput(output="x")), task)
        return store.folder


async def test_words_are_found_in_any_script_and_case_and_by_how_they_begin(folder: Path) -> None:
    async with await ProjectStore.open(folder) as store:
        (task,) = await store.children(store.project, Task)
        for text, expected in _FOUND.items():
            page = await store.page_of_runs(task, RunQuery(text=text))
            assert (text, {run.input for run in page.records}) == (text, set(expected))


async def test_every_text_is_found_by_itself(folder: Path) -> None:
    async with await ProjectStore.open(folder) as store:
        (task,) = await store.children(store.project, Task)
        for text in _TEXTS:
            for typed in (text, text.upper(), text.lower(), text.casefold()):
                page = await store.page_of_runs(task, RunQuery(text=typed))
                assert (typed, text in {run.input for run in page.records}) == (typed, True)
