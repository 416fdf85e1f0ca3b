"""auditd's text: records of one event share a serial number. Pure.

Each record is an event of ``service: auditd``; the records of an ``execve`` together are the start of a process as
well.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from checking_plugin_sigma.events.instant import since_1970

__all__ = ["AuditRecords"]

_HEAD = re.compile(rb"(?:node=(\S+) )?type=(\S+) msg=audit\((\d+)\.(\d+):(\d+)\): ?(.*)", re.DOTALL)
_FIELD = re.compile(r"""([\w-]+(?:\[\d+\])?)=("[^"]*"|'[^']*'|\S*)""")
_PART = re.compile(r"(a\d+)\[\d+\]")
"""Of an argument that is too long for one field."""
_ARGUMENT = re.compile(r"a(\d+)")
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
_ENCODED = frozenset({"proctitle", "cwd", "exe", "comm", "name", "key", "cmd", "data", "acct"})
_MOST_OPEN = 64
_STARTS = frozenset({"59", "322", "11", "221", "281", "execve", "execveat"})
"""``execve`` and ``execveat`` on x86-64, x86 and arm64."""

_LAST = frozenset({"EOE", "PROCTITLE"})
_Group = list[tuple[int, bytes, dict[str, Any]]]


class AuditRecords:
    """The records of a text that may go on later.

    Args:
        unfinished: what an earlier reading ended with.

    Attributes:
        unfinished: the lines, with their numbers, of process starts of which more may follow.
        begun: how many process starts these are.
        unreadable: lines that are no record, and process starts of which a part is missing.
    """

    def __init__(self, unfinished: Iterable[tuple[int, bytes]] = ()) -> None:
        self.unfinished: tuple[tuple[int, bytes], ...] = ()
        self.begun = self.unreadable = 0
        self._open: dict[str, _Group] = {}
        for number, line in unfinished:
            self._take(number, line)

    def of(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every record with the number of its line, and after the last one of a process start that start."""
        for number, line in lines:
            record = self._take(number, line)
            if record is None:
                self.unreadable += bool(line.strip())
                continue
            yield number, record
            if record["type"] in _LAST:
                yield from self._closed(self._open.pop(_key(record)))
            elif len(self._open) > _MOST_OPEN:
                yield from self._closed(self._open.pop(next(iter(self._open))))
        waiting: list[_Group] = []
        for group in self._open.values():
            if _is_begun(group):
                waiting.append(group)
            else:
                yield from _start(group)
        self.begun = len(waiting)
        self.unfinished = tuple((number, line) for group in waiting for number, line, _ in group)

    def _closed(self, group: _Group) -> Iterator[tuple[int, dict[str, Any]]]:
        self.unreadable += _is_begun(group)
        yield from _start(group)

    def _take(self, number: int, line: bytes) -> dict[str, Any] | None:
        record = _record(line)
        if record is not None:
            self._open.setdefault(_key(record), []).append((number, line, record))
        return record


def _key(record: dict[str, Any]) -> str:
    return f"{record.get('Computer', '')} {record['serial']}"


def _is_begun(group: _Group) -> bool:
    """Whether it is a process start whose command line has not been written yet, or not all of it."""
    return _call_of(group) is not None and not _is_complete(group)


def _call_of(group: _Group) -> dict[str, Any] | None:
    """The call of an event that starts a process, unless it failed."""
    call = _first_of(group, "SYSCALL")
    return call if call and call.get("syscall") in _STARTS and call.get("success") != "no" else None


def _first_of(group: _Group, kind: str) -> dict[str, Any]:
    return next((record for _, _, record in group if record["type"] == kind), {})


def _is_complete(group: _Group) -> bool:
    return bool(_first_of(group, "EXECVE").get("argc") == str(len(_arguments(group))))


def _arguments(group: _Group) -> Sequence[str]:
    """The arguments in their order; many of them, and long ones, are written in several records."""
    found: dict[int, str] = {}
    for _, _, record in group:
        for name, text in record.items() if record["type"] == "EXECVE" else ():
            if place := _ARGUMENT.fullmatch(name):
                found[int(place[1])] = found.get(int(place[1]), "") + text
    return [found[place] for place in sorted(found)]


def _record(line: bytes) -> dict[str, Any] | None:
    found = _HEAD.match(line.strip())
    if found is None:
        return None
    texts = (text.decode(errors="replace") if text else "" for text in found.groups())
    node, kind, seconds, fraction, serial, rest = texts
    moment = since_1970(f"{seconds}.{fraction}")
    record: dict[str, Any] = {
        "logsource": {"product": "linux", "service": "auditd"},
        "type": kind,
        "serial": serial,
        "UtcTime": moment and moment.isoformat(),
    }
    if node:
        record["Computer"] = node
    parts: dict[str, list[str]] = {}
    for name, value in _FIELD.findall(rest.replace("\x1d", " ")):
        if name == "msg" and value[:1] == "'":
            record |= {inner: _value(inner, text, kind) for inner, text in _FIELD.findall(value[1:-1])}
        elif part := _PART.fullmatch(name):
            parts.setdefault(part[1], []).append(value)
        else:
            record[name] = _value(name, value, kind)
    return record | {name: _joined(name, values, kind) for name, values in parts.items()}


def _joined(name: str, values: Sequence[str], kind: str) -> str:
    """The parts of an argument; of one in hex a character may begin in one part and end in the next."""
    if all(_HEX.fullmatch(value) for value in values):
        return _value(name, "".join(values), kind)
    return "".join(_value(name, value, kind) for value in values)


def _value(name: str, text: str, kind: str) -> str:
    """A value without quotes; what the kernel could not write as text it wrote in hex."""
    if text[:1] in ('"', "'"):
        return text[1:-1]
    argument = kind == "EXECVE" and _ARGUMENT.fullmatch(name) is not None
    if (argument or name in _ENCODED) and _HEX.fullmatch(text):
        found = binascii.unhexlify(text).replace(b"\0", b" ").decode(errors="replace")
        return found if argument else found.rstrip()
    return text


def _start(group: _Group) -> Iterator[tuple[int, dict[str, Any]]]:
    """The process start that the records of one event tell of."""
    call = _call_of(group)
    if call is None or not _first_of(group, "EXECVE"):
        return
    told = {
        "logsource": {"product": "linux", "category": "process_creation"},
        "UtcTime": call["UtcTime"],
        "Computer": call.get("Computer"),
        "Image": call.get("exe"),
        "CommandLine": " ".join(_arguments(group)),
        "CurrentDirectory": _first_of(group, "CWD").get("cwd"),
        "ProcessId": call.get("pid"),
        "ParentProcessId": call.get("ppid"),
        "User": call.get("AUID") or call.get("auid"),
    }
    line = next(number for number, _, record in group if record is call)
    yield line, {name: value for name, value in told.items() if value is not None}
