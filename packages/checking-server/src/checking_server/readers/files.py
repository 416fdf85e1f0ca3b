"""Files and pipes of red-team results: what they hold is found out from their content, never from their name."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto
from gzip import GzipFile
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import structlog

from checking_core.contracts import MAX_BODY
from checking_core.contracts.text import storable
from checking_core.errors import ConfigurationError
from checking_server.readers.caldera import operation_messages, report_messages

__all__ = ["RawMessage", "read_messages"]

log = structlog.get_logger(__name__)

MAX_DOCUMENT = 256 * 1024 * 1024
"""Bytes of a document that has to be read as a whole; lines may go on for ever."""

_HEAD = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_ACCEPTED = (
    "accepted are messages as one JSON object a line, as a JSON array or as a single object, and operations and "
    "reports of Caldera; in UTF-8, plain or gzip"
)
_NOTHING = f"holds neither messages nor operations; {_ACCEPTED}"
_LINKS = "holds links without their operation; export the operation itself: GET /api/v2/operations/<id>"


class RawMessage(msgspec.Struct, frozen=True):
    """One message, not decoded yet. ``origin`` is ``file:line``, or ``file[item]`` in a document, counted from 1."""

    body: bytes
    origin: str


class _Kind(Enum):
    MESSAGE = auto()
    OPERATION = auto()
    REPORT = auto()
    LINK = auto()
    OTHER = auto()


class _Shape(msgspec.Struct):
    """The keys that tell kinds of JSON objects from each other; their values are not looked at."""

    message_type: msgspec.Raw = msgspec.Raw()
    chain: msgspec.Raw = msgspec.Raw()
    steps: msgspec.Raw = msgspec.Raw()
    paw: msgspec.Raw = msgspec.Raw()
    ability: msgspec.Raw = msgspec.Raw()


_shape = msgspec.json.Decoder(_Shape)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_whole = msgspec.json.Decoder(msgspec.Raw)


def read_messages(source: str | Path | BufferedReader, *, limit: int = MAX_BODY) -> Iterator[RawMessage]:
    """Every message of a file or a stream, one after the other.

    Messages a line each are streamed: memory does not grow with them, and a stream that stays open gives each as it
    comes. A line that is no message is given as it is, for the codec to refuse with its reason; empty lines are not.

    Args:
        source: a file, ``-`` for standard input, or an open stream, whose origin is ``-`` as well and which stays open.
        limit: bytes of the longest message that is accepted; a longer line is cut behind it.

    Raises:
        ConfigurationError: the file cannot be read, or holds nothing of what is accepted.
    """
    name = "-" if isinstance(source, BufferedReader) else str(source)
    try:
        with _opened(source) as stream:
            yield from _read(name, _unzipped(stream), limit)
    except (OSError, EOFError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{name}: cannot be read: {problem}") from None


def _opened(source: str | Path | BufferedReader) -> AbstractContextManager[BufferedReader]:
    """Standard input gets a reader of its own: whoever waits in ``sys.stdin`` when the process ends makes it crash."""
    if isinstance(source, BufferedReader):
        return nullcontext(source)
    return open(sys.stdin.fileno(), "rb", closefd=False) if source == "-" else Path(source).open("rb")


def _unzipped(stream: BufferedReader) -> BinaryIO:
    zipped = stream.peek(2).startswith(_GZIP)
    return cast("BinaryIO", GzipFile(fileobj=stream)) if zipped else cast("BinaryIO", stream)


def _read(name: str, stream: BinaryIO, limit: int) -> Iterator[RawMessage]:
    number, head = _first_line(stream)
    if not head:
        return
    if _kind_of(head) is not _Kind.MESSAGE:
        head += stream.read(_HEAD)
        if not _has_message_line(head):
            yield from _document(name, head + stream.read(MAX_DOCUMENT + 1 - len(head)))
            return
    for place, line in enumerate(_lines(head, stream, limit + 1), start=number):
        if text := line.strip():
            yield RawMessage(text, f"{name}:{place}")


def _first_line(stream: BinaryIO) -> tuple[int, bytes]:
    """The first line with something in it and its number; at most a head's length of it."""
    number, line = 1, stream.readline(_HEAD).removeprefix(_BOM)
    while line.isspace():
        number, line = number + 1, stream.readline(_HEAD)
    return number, line


def _has_message_line(head: bytes) -> bool:
    """Whether this is the beginning of lines of which the first is broken, rather than of a document."""
    return not head.lstrip().startswith(b"[") and any(_kind_of(line) is _Kind.MESSAGE for line in head.split(b"\n"))


def _lines(head: bytes, stream: BinaryIO, longest: int) -> Iterator[bytes]:
    """The lines of the head and of what follows, each cut to the longest that is wanted."""
    *whole, begun = head.split(b"\n")
    for line in whole:
        yield line[:longest]
    while line := begun + stream.readline(longest):
        yield line[:longest]
        begun = b""
        while line and not line.endswith(b"\n"):
            line = stream.readline(longest)


def _kind_of(body: bytes) -> _Kind | None:
    """What kind of JSON object this is, by its keys; nothing if it is none."""
    try:
        shape = _shape.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if shape.message_type:
        return _Kind.MESSAGE
    if shape.chain:
        return _Kind.OPERATION
    if shape.steps:
        return _Kind.REPORT
    return _Kind.LINK if shape.paw and shape.ability else _Kind.OTHER


def _document(name: str, body: bytes) -> Iterator[RawMessage]:
    if len(body) > MAX_DOCUMENT:
        raise ConfigurationError(f"{name}: has more than {MAX_DOCUMENT} bytes and is not one message a line")
    items = _items(name, storable(body))
    kinds = {_kind_of(item) for item in items}
    if kinds <= {_Kind.OPERATION, _Kind.REPORT}:
        items = [message for item in items for message in _converted(name, item)]
    elif _Kind.MESSAGE not in kinds:
        raise ConfigurationError(f"{name}: {_LINKS if _Kind.LINK in kinds else _NOTHING}")
    for number, item in enumerate(items, start=1):
        yield RawMessage(item, f"{name}[{number}]")


def _items(name: str, body: bytes) -> list[bytes]:
    """The members of an array, or the one object."""
    try:
        if body.lstrip().startswith(b"["):
            return [bytes(item) for item in _array.decode(body)]
        return [bytes(_whole.decode(body))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        lines_of_json = _kind_of(body.partition(b"\n")[0]) is not None
        problem = _NOTHING if lines_of_json else f"is no JSON: {error}; {_ACCEPTED}"
        raise ConfigurationError(f"{name}: {problem}") from None


def _converted(name: str, body: bytes) -> Sequence[bytes]:
    convert = operation_messages if _kind_of(body) is _Kind.OPERATION else report_messages
    try:
        converted = convert(msgspec.json.decode(body))
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigurationError(f"{name}: is no operation and no report of Caldera: {error}") from None
    if converted.skipped:
        log.info("report_skipped_abilities", file=name, count=converted.skipped)
    return converted.messages
