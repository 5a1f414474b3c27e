"""How a text file is encoded: by its mark, by its bytes, or as the caller says.

Bytes that are no UTF-8 are faults of their rows.
"""

import codecs
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Final

from storage.errors import InvalidValue
from storage.exchange.refusals import unusable_table

UTF_8: Final = "utf-8"
_CHUNK: Final = 1 << 20
_START: Final = 1 << 16
_MARKS: Final = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The mark of UTF-32 begins with that of UTF-16, so it comes first."""
_WIDE_SHARE: Final = 0.1
"""Of the characters in UTF-16 text, at least so many are ASCII: its separators and line ends."""
_FEW_LINES: Final = 5
_DENSE: Final = 0.25
"""Share of high bytes among letters above which text is not of a Latin alphabet."""
_WESTERN: Final = "cp1252"
_OLD_ENCODINGS: Final = (
    *("cp1250", "cp1251", "cp1253", "cp1255", "cp1256", "koi8_r", "shift_jis", "euc_jp"),
    *("gb18030", "big5", "euc_kr"),
)
"""Encodings of other alphabets that spreadsheets and old programs still write."""


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """The encoding of a file.

    Attributes:
        name: Its name for Python's codecs.
        mark: Bytes at the start that are no text.
        is_guess: Whether neither a mark nor the bytes prove it.
    """

    name: str
    mark: int = 0
    is_guess: bool = False


def encoding_of(
    file: IO[bytes], file_name: str, wish: str | None = None, *, has_header: bool = False
) -> TextEncoding:
    """Return how a file is encoded. A few bytes that are no UTF-8 spoil their rows alone.

    Args:
        file: The file; it is read from its start to its end.
        file_name: Its name, for the sentence of a refusal.
        wish: The encoding that the caller names.
        has_header: Whether the first line names columns.

    Raises:
        InvalidValue: There is no such encoding.
        Refusal: The file is empty, or holds no text.
    """
    file.seek(0)
    start = file.read(_START)
    mark, name = next(((mark, name) for mark, name in _MARKS if start.startswith(mark)), (b"", ""))
    if wish is not None:
        name = _codec(wish)
        return TextEncoding(name, len(mark) if name == UTF_8 and mark == codecs.BOM_UTF8 else 0)
    if not start.removeprefix(mark).strip(b"\0 \t\r\n"):
        raise unusable_table(f"{file_name} is empty")
    if name:
        return TextEncoding(name, len(mark) if name == UTF_8 else 0)
    wide = _wide_encoding(start)
    if wide is not None:
        return TextEncoding(wide)
    if b"\0" in start[: start.find(b"\n") + 1 or None]:
        raise unusable_table(f"{file_name} holds no text: it has bytes that are 0")
    if _is_utf_8(file) or not _is_encoded_otherwise(file, has_header=has_header):
        return TextEncoding(UTF_8)
    return TextEncoding(_old_encoding(file), is_guess=True)


def _codec(name: str) -> str:
    try:
        codec = codecs.lookup(name)
        codec.decode(b"", "strict")
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidValue(
            "There is no text encoding '{name}'. Use one such as utf-8, utf-16, windows-1252, "
            "windows-1251, shift_jis or gb18030.",
            name=name,
        ) from error
    return UTF_8 if codec.name in (UTF_8, "utf-8-sig") else codec.name


def _wide_encoding(start: bytes) -> str | None:
    """Return the encoding of text that has two bytes a letter and no mark; None for other text."""
    half = max(len(start) // 2, 1)
    high, low = start[::2].count(0) / half, start[1::2].count(0) / half
    if max(high, low) < _WIDE_SHARE:
        return None
    return "utf-16-le" if low > 4 * high else "utf-16-be" if high > 4 * low else None


def _is_utf_8(file: IO[bytes]) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(UTF_8)()
    try:
        while chunk := file.read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_encoded_otherwise(file: IO[bytes], *, has_header: bool) -> bool:
    """Whether lines that are no UTF-8 are so many that the whole text is in another encoding."""
    file.seek(0)
    lines = bad = good = 0
    while chunk := file.readlines(_CHUNK):
        # A list may be one line of many objects.
        for line in b"".join(chunk).replace(b"},", b"},\n").replace(b"\r", b"\n").split(b"\n"):
            lines += bool(line.strip())
            if not line.isascii():
                is_good = _is_good(line)
                good += is_good
                bad += not is_good
    are_most = bad * 2 > lines - has_header
    are_many = bad >= _FEW_LINES and bad * 10 >= lines
    return bad > good and (are_most or are_many)


def _is_good(line: bytes) -> bool:
    try:
        line.decode(UTF_8)
    except UnicodeDecodeError:
        return False
    return True


def _old_encoding(file: IO[bytes]) -> str:
    """Return the encoding of text that is not Unicode: windows-1252 if few letters have accents."""
    file.seek(0)
    sample = bytes(file.read(_CHUNK))
    high = sum(byte > 127 for byte in sample)
    letters = sum(chr(byte).isalpha() for byte in sample if byte < 128)
    if high > _DENSE * (letters + high):
        from charset_normalizer import from_bytes  # imported here: most tables are UTF-8

        best = from_bytes(sample, cp_isolation=list(_OLD_ENCODINGS)).best()
        if best is not None:
            return best.encoding
    return _WESTERN


@contextmanager
def utf_8_file(
    file: IO[bytes], file_name: str, encoding: TextEncoding
) -> Generator[tuple[IO[bytes], int]]:
    """Open the text of a file as UTF-8, with the byte that it begins at.

    Raises:
        Refusal: The text is not in that encoding.
    """
    if encoding.name == UTF_8:
        yield file, encoding.mark
        return
    with TemporaryFile() as copy:
        try:
            _transcode(file, copy, encoding.name)
        except UnicodeError as error:
            raise unusable_table(
                f"{file_name} is not {encoding.name} text; in a spreadsheet, save it as "
                "'CSV UTF-8', or name its encoding"
            ) from error
        yield copy, 0


def _transcode(file: IO[bytes], copy: IO[bytes], encoding: str) -> None:
    file.seek(0)
    errors = "replace" if encoding == _WESTERN else "strict"  # five of its bytes mean nothing
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while chunk := file.read(_CHUNK):
        copy.write(decoder.decode(chunk).encode(UTF_8))
    copy.write(decoder.decode(b"", final=True).encode(UTF_8))


def fault_in(text: str) -> str | None:
    """Return what is wrong with a row whose text has lone surrogates for bytes that are no UTF-8.

    None if it has none. The attempt to encode it is much faster than a search.
    """
    try:
        text.encode(UTF_8)
    except UnicodeEncodeError as error:
        return byte_fault(ord(text[error.start]) & 0xFF)
    return None


def byte_fault(byte: int) -> str:
    """Return what is wrong with a row that holds a byte that is no UTF-8."""
    return (
        f"it holds a byte that is no UTF-8 (0x{byte:02x}); save the table as UTF-8, or name its "
        "encoding, such as windows-1252"
    )
