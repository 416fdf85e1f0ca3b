"""auditd's text: records of one event share a serial number. Pure.

Each record is an event of ``service: auditd``; the records of an ``execve`` together are the start of a process as
well.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

__all__ = ["AuditRecords"]

_HEAD = re.compile(rb"(?:node=(\S+) )?type=(\S+) msg=audit\((\d+)\.(\d+):(\d+)\): ?(.*)", re.DOTALL)
_FIELD = re.compile(r"""([\w-]+)=("[^"]*"|'[^']*'|\S*)""")
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
    """

    def __init__(self, unfinished: Iterable[tuple[int, bytes]] = ()) -> None:
        self.unfinished: tuple[tuple[int, bytes], ...] = ()
        self._open: dict[str, _Group] = {}
        for number, line in unfinished:
            self._take(number, line)

    def of(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every record with the number of its line, and after the last one of a process start that start."""
        for number, line in lines:
            record = self._take(number, line)
            if record is None:
                continue
            yield number, record
            if record["type"] in _LAST:
                yield from _start(self._open.pop(_key(record)))
            elif len(self._open) > _MOST_OPEN:
                yield from _start(self._open.pop(next(iter(self._open))))
        for group in self._open.values():
            yield from _start(group)
        waiting = (group for group in self._open.values() if _is_begun(group))
        self.unfinished = tuple((number, line) for group in waiting for number, line, _ in group)

    def _take(self, number: int, line: bytes) -> dict[str, Any] | None:
        record = _record(line)
        if record is not None:
            self._open.setdefault(_key(record), []).append((number, line, record))
        return record


def _key(record: dict[str, Any]) -> str:
    return f"{record.get('Computer', '')} {record['serial']}"


def _is_begun(group: _Group) -> bool:
    """Whether it is a process start whose command line has not been written yet."""
    kinds = {record["type"] for _, _, record in group}
    return "SYSCALL" in kinds and "EXECVE" not in kinds


def _record(line: bytes) -> dict[str, Any] | None:
    found = _HEAD.match(line.strip())
    if found is None:
        return None
    parts = (part.decode(errors="replace") if part else "" for part in found.groups())
    node, kind, seconds, fraction, serial, rest = parts
    moment = datetime.fromtimestamp(int(seconds) + float(f"0.{fraction}"), UTC)
    record: dict[str, Any] = {
        "logsource": {"product": "linux", "service": "auditd"},
        "type": kind,
        "serial": serial,
        "UtcTime": moment.isoformat(),
    }
    if node:
        record["Computer"] = node
    for name, value in _FIELD.findall(rest.replace("\x1d", " ")):
        if name == "msg" and value[:1] == "'":
            record |= {inner: _value(inner, text) for inner, text in _FIELD.findall(value[1:-1])}
        else:
            record[name] = _value(name, value)
    return record


def _value(name: str, text: str) -> str:
    """A value without quotes; what the kernel could not write as text it wrote in hex."""
    if text[:1] in ('"', "'"):
        return text[1:-1]
    encoded = name in _ENCODED or re.fullmatch(r"a\d+", name) is not None
    if encoded and len(text) > 1 and _HEX.fullmatch(text):
        return binascii.unhexlify(text).replace(b"\0", b" ").decode(errors="replace").rstrip()
    return text


def _start(group: _Group) -> Iterator[tuple[int, dict[str, Any]]]:
    """The process start that the records of one event tell of."""
    by_type = {record["type"]: record for _, _, record in reversed(group)}
    call, arguments = by_type.get("SYSCALL"), by_type.get("EXECVE")
    if call is None or arguments is None or call.get("syscall") not in _STARTS or call.get("success") == "no":
        return
    words = [arguments[name] for place in range(int(arguments.get("argc", 0))) if (name := f"a{place}") in arguments]
    told = {
        "logsource": {"product": "linux", "category": "process_creation"},
        "UtcTime": call["UtcTime"],
        "Computer": call.get("Computer"),
        "Image": call.get("exe"),
        "CommandLine": " ".join(words),
        "CurrentDirectory": by_type.get("CWD", {}).get("cwd"),
        "ProcessId": call.get("pid"),
        "ParentProcessId": call.get("ppid"),
        "User": call.get("AUID") or call.get("auid"),
    }
    line = next(number for number, _, record in group if record is call)
    yield line, {name: value for name, value in told.items() if value is not None}
