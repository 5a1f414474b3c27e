"""Words that are longer than the model reads: kept as a file, condensed, or one sentence."""

from pathlib import Path

import pytest

from agent.conversation import LONGEST_WORDS
from agent.events import Note, TurnEnd
from agent.memory import next_limit
from agent.model import MAX_TOKENS
from kiln_mcp.llm import Message, ModelRequest
from kiln_mcp.llm.errors import ContextOverflow
from scripted_model import ScriptedModel
from small_workbench import SmallWorkbench
from talks import chat_options, events_of, talk

LOG = "\n".join(f"line {number}: something went wrong" for number in range(65_000))


def reading(most: int) -> ScriptedModel:
    """Return a model that reads so many characters beside its instructions and tools."""

    def answer(request: ModelRequest) -> str:
        length = sum(len(m.content) for m in request.messages if m.role != "system")
        if length > most:
            raise ContextOverflow("scripted", f"{length} of {most}")
        return "Understood."

    return ScriptedModel(answer)


def sent(model: ScriptedModel) -> int:
    """Return how many characters the last request held beside the instructions."""
    return sum(len(m.content) for m in model.requests[-1].messages if m.role != "system")


async def end_of(folder: Path, model: ScriptedModel, *texts: str) -> TurnEnd:
    async with talk(chat_options(folder), model, SmallWorkbench().server) as chat:
        events = [await events_of(chat.conversation, text) for text in texts][-1]
    [end] = [event for event in events if isinstance(event, TurnEnd)]
    return end


async def test_two_megabytes_are_kept_as_a_file_whose_ends_are_read(tmp_path: Path) -> None:
    model = reading(LONGEST_WORDS)
    assert len(LOG) > 2_000_000
    async with talk(chat_options(tmp_path), model, SmallWorkbench().server) as chat:
        events = await events_of(chat.conversation, LOG)
        [note] = [event.text for event in events if isinstance(event, Note)]
        [file] = (tmp_path / "chats").glob("*.txt")
        assert chat.chats.names() == [chat.name]
    last = model.requests[-1].messages[-1].content
    assert file.read_text("utf-8").rstrip("\n") == LOG
    assert str(file) in note
    assert str(file) in last
    assert ("line 0:" in last, "line 64999:" in last, len(last) < 20_000) == (True, True, True)
    assert file.stat().st_mode & 0o077 == 0


async def test_a_first_message_beyond_the_model_is_one_sentence(tmp_path: Path) -> None:
    end = await end_of(tmp_path, reading(8_000), "x" * 20_000)
    assert end.reason == "failed"
    assert "Your message of 20,000 characters is too long for 'scripted'" in end.note
    assert "/model NAME" in end.note


async def test_a_model_that_cannot_read_the_tools_is_said_to_be_too_small(tmp_path: Path) -> None:
    end = await end_of(tmp_path, reading(0), "hi")
    assert "instructions and tools of this chat are too long for 'scripted'" in end.note


async def test_a_chat_goes_on_after_a_message_that_was_too_long(tmp_path: Path) -> None:
    model = reading(8_000)
    end = await end_of(tmp_path, model, "hi", "x" * 90_000, "and now?")
    assert end.reason == "answered"
    assert sent(model) <= 8_000


async def test_a_limit_that_was_found_is_kept_for_the_next_rounds(tmp_path: Path) -> None:
    model = reading(8_000)
    async with talk(chat_options(tmp_path), model, SmallWorkbench().server) as chat:
        for text in ("hi", "x" * 90_000, "and now?"):
            await events_of(chat.conversation, text)
        count = len(model.requests)
        await events_of(chat.conversation, "and then?")
    assert len(model.requests) == count + 1


@pytest.mark.parametrize("length", [1, MAX_TOKENS])
def test_what_cannot_be_condensed_has_no_smaller_limit(length: int) -> None:
    assert next_limit([Message("user", "x" * length)], 240_000) is None
