"""Files of telemetry as records, one after the other, whatever they are: told by content, not by name.

A text file that grows is read on from where the last reading ended; everything else is read anew once it has changed.
Nothing is ever held whole but one record, so that memory does not depend on the size of a file.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, cast

import msgspec

from checking_core.errors import BackendUnreachableError, ConfigurationError
from checking_plugin_sigma.events.auditd import AuditRecords
from checking_plugin_sigma.events.json_array import array_records

__all__ = ["Mark", "Reader", "Record"]

_GZIP, _ZIP, _EVTX = b"\x1f\x8b", b"PK\x03\x04", b"ElfFile\0"
_AUDIT = (b"type=", b"node=")
_BROKEN = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What an archive raises that is damaged, encrypted or packed in a way that nobody knows."""
_BEGINNING = 1024
_HEADER, _CHUNK = 1 << 12, 1 << 16
"""Bytes of the header of a Windows event log, and of each of its chunks."""


class Mark(msgspec.Struct, frozen=True):
    """How far a file was read, what to read again with what follows, and how to tell that it is still the same one.

    ``digest`` is that of the first ``length`` bytes: a log may be emptied in place, and grow past where it ended.
    """

    inode: int = 0
    offset: int = 0
    line: int = 0
    changed: int = 0
    unfinished: tuple[tuple[int, bytes], ...] = ()
    length: int = 0
    digest: bytes = b""


class Record(NamedTuple):
    """One record: the number of its line or of the record, its text, and what it says if that is known already."""

    line: int
    raw: bytes
    told: Mapping[str, Any] | None = None


class Reader:
    """The records of one file that were not read before.

    Args:
        path: the file.
        mark: how far it was read.

    Attributes:
        mark: how far it is read now; right when the iteration has ended.
        anew: it is read from its beginning: another file has this name now, or it can only be read whole.
        unchanged: there is nothing to read.
        unreadable: records that could not be decoded, or of which a part is missing.
        unfinished: records at its end that are not written to theirs.
        left_out: records that nobody asked for, which were not decoded.

    Raises:
        BackendUnreachableError: the file cannot be read.
    """

    def __init__(self, path: Path, mark: Mark | None = None) -> None:
        self.path = path
        self.unreadable = self.unfinished = self.left_out = 0
        try:
            self._file: IO[bytes] = path.open("rb")
        except OSError as error:
            raise BackendUnreachableError(f"{path.name} cannot be read: {error.strerror}") from error
        state = os.fstat(self._file.fileno())
        self.size = state.st_size
        self._start = self._file.read(_BEGINNING)
        self._grows = not self._start.startswith((_GZIP, _ZIP, _EVTX, b"[")) and bool(self._start)
        known = mark if mark is not None and self._is_of(mark, state.st_ino) else None
        self.unchanged = known is not None and known.offset == self.size and known.changed == state.st_mtime_ns
        self.anew = known is None or not (self.unchanged or (self._grows and known.offset <= self.size))
        begin = known if known is not None and not self.anew else Mark()
        self._line, self._offset, self._unfinished = begin.line, begin.offset, begin.unfinished
        self.mark = Mark(
            inode=state.st_ino,
            offset=self.size,
            line=begin.line,
            changed=state.st_mtime_ns,
            unfinished=begin.unfinished,
            length=len(self._start),
            digest=_digest(self._start),
        )

    def _is_of(self, mark: Mark, inode: int) -> bool:
        """Whether a mark was made in this very text, as far as it had been written then."""
        return mark.inode == inode and mark.digest == _digest(self._start[: mark.length])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def position(self) -> int:
        """Bytes of the file that are behind us."""
        return self.size if self._file.closed else self._file.tell()

    def __iter__(self) -> Iterator[Record]:
        with self._file:
            if self.unchanged:
                return
            self._file.seek(self._offset)
            try:
                yield from self._text(self._file) if self._grows else self._records(self._file)
            except _BROKEN as error:
                raise BackendUnreachableError(f"{self.path.name} cannot be read: {error}") from error

    def _records(self, file: IO[bytes]) -> Iterator[Record]:
        """Every record of a file that is read whole."""
        start = file.read(len(_EVTX))
        file.seek(0)
        if start.startswith(_GZIP):
            with gzip.open(file) as inner:
                yield from self._records(cast("IO[bytes]", inner))
        elif start.startswith(_ZIP):
            yield from self._members(file)
        elif start.startswith(_EVTX):
            yield from self._evtx(file)
        elif start.lstrip().startswith(b"["):
            yield from self._counted(array_records(file))
        elif start.startswith(_AUDIT):
            audit = AuditRecords()
            yield from _audit(audit, enumerate(file, 1))
            self.unreadable += audit.unreadable + audit.begun
        else:
            yield from _lines(file)

    def _members(self, file: IO[bytes]) -> Iterator[Record]:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    with archive.open(member) as inner:
                        yield from self._records(inner)

    def _counted(self, found: Iterable[bytes | None]) -> Iterator[Record]:
        for number, raw in enumerate(found, 1):
            if raw is None:
                self.unreadable += 1
            else:
                yield Record(number, raw)

    def _evtx(self, file: IO[bytes]) -> Iterator[Record]:
        """The records of a Windows event log: one that is broken keeps no others from being read."""
        found = iter(_evtx_parser()(file).records_json())
        while True:
            try:
                record = next(found, None)
            except RuntimeError:
                self.unreadable += 1
                continue
            if record is None:
                break
            yield Record(int(record["event_record_id"]), record["data"].encode())
        self.unreadable += _is_cut_off(file)

    def _text(self, file: IO[bytes]) -> Iterator[Record]:
        """What was added to a text file. A last line without its end may still be written to: it waits."""
        if self._start.startswith(_AUDIT):
            audit = AuditRecords(self._unfinished)
            yield from _audit(audit, self._whole_lines(file))
            self.mark = msgspec.structs.replace(self.mark, unfinished=audit.unfinished)
            self.unreadable += audit.unreadable
            self.unfinished += audit.begun
            return
        for number, line in self._whole_lines(file):
            if not line.isspace():
                yield Record(number, line)

    def _whole_lines(self, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        line, offset = self._line, self._offset
        for text in file:
            if not text.endswith(b"\n") and not _is_whole(text):
                self.unfinished += 1
                break
            line += 1
            offset += len(text)
            yield line, text
        self.mark = msgspec.structs.replace(self.mark, offset=offset, line=line, unfinished=())


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()


def _is_whole(text: bytes) -> bool:
    """Whether a last line without a line break is nevertheless complete."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _lines(lines: Iterable[bytes]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.isspace():
            yield Record(number, line)


def _audit(audit: AuditRecords, lines: Iterable[tuple[int, bytes]]) -> Iterator[Record]:
    for number, told in audit.of(lines):
        yield Record(number, msgspec.json.encode(told), told)


def _is_cut_off(file: IO[bytes]) -> bool:
    """Whether a Windows event log ends within one of its chunks, which the parser passes over without a word."""
    while file.read(_CHUNK):
        pass
    return (file.tell() - _HEADER) % _CHUNK != 0


def _evtx_parser() -> Callable[[IO[bytes]], Any]:
    try:
        from evtx import PyEvtxParser
    except ImportError:
        raise ConfigurationError(
            "an EVTX file needs the package evtx: pip install 'checking-plugin-sigma[evtx]'"
        ) from None
    return cast("Callable[[IO[bytes]], Any]", PyEvtxParser)
