"""The bodies of replies, read piece by piece so that none fills the memory."""

from typing import TYPE_CHECKING, Final

from kiln_mcp.llm.providers.http_errors import unreadable_answer

if TYPE_CHECKING:
    import aiohttp

LARGEST_REPLY_BYTES: Final = 16 * 2**20
MOST_QUOTED_BYTES: Final = 2**16
"""How much of a reply is read for its error message."""
_PIECE_BYTES: Final = 2**16


async def read_body(response: "aiohttp.ClientResponse", model: str) -> bytes:
    """Return a whole reply; of a refusal its beginning.

    Raises:
        ModelError: It is larger than an answer can be, after decompression.
    """
    content = bytearray()
    async for piece in response.content.iter_chunked(_PIECE_BYTES):
        content += piece
        if response.status != 200 and len(content) > MOST_QUOTED_BYTES:
            return bytes(content[:MOST_QUOTED_BYTES])
        if len(content) > LARGEST_REPLY_BYTES:
            raise unreadable_answer(model, f"it is larger than {LARGEST_REPLY_BYTES // 2**20} MiB.")
    return bytes(content)
