"""A file of the Windows event log, written byte by byte, for a reader that somebody else has written.

One chunk, no templates: the format allows it, and it is what a record is before Windows shares its structure.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

_HEADER, _CHUNK, _FIRST_RECORD = 4096, 65536, 512
_OPEN, _OPEN_WITH_ATTRIBUTES, _CLOSE_START, _END, _VALUE, _ATTRIBUTE, _FRAGMENT = (
    0x01,
    0x41,
    0x02,
    0x04,
    0x05,
    0x06,
    0x0F,
)
_TEXT = 0x01
_1601 = datetime(1601, 1, 1, tzinfo=UTC)


class Element:
    """An element with one attribute at most, and either a text or elements in it."""

    def __init__(self, name: str, *inner: Element | str, attribute: tuple[str, str] | None = None) -> None:
        self.name, self.inner, self.attribute = name, inner, attribute

    def at(self, place: int) -> bytes:
        """The element as it stands at an offset of its chunk: names are found by their offsets."""
        head = bytes([_OPEN_WITH_ATTRIBUTES if self.attribute else _OPEN])
        place += len(head) + 4
        body = _name(self.name, place)
        if self.attribute:
            name, text = self.attribute
            start = place + len(body) + 4
            told = bytes([_ATTRIBUTE]) + _name(name, start + 1) + _value(text)
            body += struct.pack("<I", len(told)) + told
        body += bytes([_CLOSE_START])
        for inner in self.inner:
            body += _value(inner) if isinstance(inner, str) else inner.at(place + len(body))
        body += bytes([_END])
        return head + struct.pack("<I", len(body)) + body


def event(channel: str, number: int, computer: str, moment: datetime, data: Mapping[str, str]) -> Element:
    """An event as Windows writes it."""
    system = Element(
        "System",
        Element("Provider", attribute=("Name", "Microsoft-Windows-Sysmon")),
        Element("EventID", str(number)),
        Element("TimeCreated", attribute=("SystemTime", moment.isoformat().replace("+00:00", "Z"))),
        Element("Channel", channel),
        Element("Computer", computer),
    )
    named = [Element("Data", text, attribute=("Name", name)) for name, text in data.items()]
    return Element("Event", system, Element("EventData", *named))


def evtx(events: Sequence[Element], moment: datetime) -> bytes:
    """The file."""
    records, last = b"", _FIRST_RECORD
    for number, one in enumerate(events, 1):
        last = _FIRST_RECORD + len(records)
        records += _record(number, one, moment, last)
    return _file_header(len(events)) + _chunk(records, len(events), last)


def _record(number: int, one: Element, moment: datetime, place: int) -> bytes:
    xml = bytes([_FRAGMENT, 1, 1, 0])
    xml += one.at(place + 24 + len(xml)) + b"\0"
    size = 24 + len(xml) + 4
    ticks = int((moment - _1601).total_seconds() * 10_000_000)
    return struct.pack("<4sIQQ", b"**\0\0", size, number, ticks) + xml + struct.pack("<I", size)


def _chunk(records: bytes, count: int, last: int) -> bytes:
    end = _FIRST_RECORD + len(records)
    start = struct.pack("<8sQQQQIIII", b"ElfChnk\0", 1, count, 1, count, 128, last, end, zlib.crc32(records))
    start = start.ljust(120, b"\0")
    tables = bytes(_FIRST_RECORD - 128)
    checked = struct.pack("<II", 0, zlib.crc32(start + tables))
    return (start + checked + tables + records).ljust(_CHUNK, b"\0")


def _file_header(count: int) -> bytes:
    start = struct.pack("<8sQQQIHHHH", b"ElfFile\0", 0, 0, count + 1, 128, 1, 3, _HEADER, 1).ljust(120, b"\0")
    return (start + struct.pack("<II", 0, zlib.crc32(start))).ljust(_HEADER, b"\0")


def _name(text: str, place: int) -> bytes:
    """A name where it is first used: its own offset, then the name itself."""
    return struct.pack("<IIHH", place + 4, 0, _hash(text), len(text)) + text.encode("utf-16-le") + b"\0\0"


def _hash(text: str) -> int:
    found = 0
    for letter in text:
        found = (found * 65599 + ord(letter)) & 0xFFFFFFFF
    return found & 0xFFFF


def _value(text: str) -> bytes:
    return struct.pack("<BBH", _VALUE, _TEXT, len(text)) + text.encode("utf-16-le")
