"""Commands about the saved chats."""

from typing import TYPE_CHECKING

import anyio
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from agent.fences import printable
from storage.errors import Refusal
from storage.text.excerpts import excerpt_line

if TYPE_CHECKING:
    from agent.session import Session

_MOST_LISTED = 30
_LONGEST_TITLE = 60


async def list_all(session: "Session", words: str) -> None:
    """List the saved chats, the newest first; with words, those that hold them."""
    chats = session.chat.chats
    summaries = chats.search(words) if words else chats.list()
    if not summaries:
        session.front.say("No chat has these words." if words else "No chat is saved yet.")
        return
    table = Table("chat", "title", "changed", box=SIMPLE, pad_edge=False)
    table.add_column("messages", justify="right")
    table.add_column("cost", justify="right")
    for summary in summaries[:_MOST_LISTED]:
        title = excerpt_line(printable(summary.title), _LONGEST_TITLE)
        changed = f"{summary.changed:%Y-%m-%d %H:%M}"
        cells = [summary.id, title, changed, str(summary.messages), summary.price]
        table.add_row(*map(Text, cells))
    session.front.print(table)


async def begin(session: "Session", words: str) -> None:
    """Begin another chat."""
    del words  # it takes none
    await session.chat.begin()
    session.front.view.status.cost = type(session.front.view.status)().cost
    session.front.say(f"This is chat {session.chat.name}.")


async def resume(session: "Session", words: str) -> None:
    """Continue a saved chat; without a name, the last one."""
    candidates = [name for name in session.chat.chats.names() if name != session.chat.name]
    await session.chat.resume(words or (candidates[-1] if candidates else ""))
    session.show_resumed()


async def rename(session: "Session", words: str) -> None:
    """Name this chat; without a text, show its title."""
    if words:
        await session.chat.chats.rename(session.chat.name, words)
    titles = [chat.title for chat in session.chat.chats.list() if chat.id == session.chat.name]
    session.front.say(titles[0] if titles else "This chat has no messages yet.")


async def fork(session: "Session", words: str) -> None:
    """Begin a chat like this one up to a message, and go on there."""
    count = len([m for m in session.conversation.messages if m.role != "system"])
    if words and not words.isdecimal():
        raise Refusal("'{text}' is no message. Give a number from 1 to {count}.", text=words,
                      count=count)  # fmt: skip
    number = int(words) if words else count
    await session.chat.resume(await session.chat.chats.fork(session.chat.name, number))
    session.show_resumed()


async def export(session: "Session", words: str) -> None:
    """Write this chat as Markdown to a new file; without a name, show it."""
    text = session.chat.chats.export(session.chat.name)
    if not words:
        session.front.say(text)
        return
    file = await anyio.Path(words).expanduser()
    try:
        async with await file.open("x", encoding="utf-8") as stream:
            await stream.write(text)
    except OSError as error:
        raise Refusal(
            "The chat was not written to {file}: {reason}. Name a file that does not exist yet.",
            file=file,
            reason=error.strerror or str(error),
        ) from error
    session.front.say(f"Written to {file}.")
