"""Files and pipes of red-team results: found out by their content, streamed, refused with what is accepted."""

from __future__ import annotations

import gzip
import json
import os
import re
from datetime import UTC, datetime
from io import BufferedReader, BytesIO, RawIOBase
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import MAX_BODY, MessageType, decode_link_message
from checking_core.contracts.hints import read_hints
from checking_core.errors import ConfigurationError, RejectedMessageError
from checking_server.readers import RawMessage, read_messages

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "messages.md"
RECEIVED = datetime(2026, 11, 21, tzinfo=UTC)
MESSAGE = b'{"message_type": "operation_state", "operation": {"id": "1"}, "to_state": "finished"}'
BOM = b"\xef\xbb\xbf"


def stream(body: bytes) -> BufferedReader:
    return BufferedReader(BytesIO(body))  # type: ignore[type-var]


def bodies(body: bytes) -> list[bytes]:
    return [message.body for message in read_messages(stream(body))]


@pytest.mark.parametrize(
    "body",
    [
        MESSAGE + b"\n" + MESSAGE,
        MESSAGE + b"\r\n\r\n  \n" + MESSAGE + b"\n",
        BOM + b"\n" + MESSAGE + b"\n" + MESSAGE,
        b"[" + MESSAGE + b",\n" + MESSAGE + b"]",
        BOM + b"\n [\n" + MESSAGE + b"\n,\n" + MESSAGE + b"\n]\n",
        gzip.compress(MESSAGE + b"\n" + MESSAGE, mtime=0),
        gzip.compress(b"[" + MESSAGE + b"," + MESSAGE + b"]", mtime=0),
    ],
)
def test_messages_come_one_a_line_or_in_an_array_plain_or_gzip(body: bytes):
    assert bodies(body) == [MESSAGE, MESSAGE]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_single_object_is_one_message(indent: int | None):
    [body] = bodies(json.dumps(json.loads(MESSAGE), indent=indent).encode())
    assert json.loads(body) == json.loads(MESSAGE)


@pytest.mark.parametrize("body", [b"", b"\n \n", b"[]", gzip.compress(b"", mtime=0)])
def test_nothing_gives_no_messages(body: bytes):
    assert bodies(body) == []


def test_the_origin_is_file_and_line_or_file_and_item(tmp_path: Path):
    path = tmp_path / "feed"
    path.write_bytes(b"\n" + MESSAGE + b"\n\n" + MESSAGE)
    assert [raw.origin for raw in read_messages(path)] == [f"{path}:2", f"{path}:4"]
    path.write_bytes(b"[\n" + MESSAGE + b",\n" + MESSAGE + b"]")
    assert [raw.origin for raw in read_messages(path)] == [f"{path}[1]", f"{path}[2]"]
    assert [raw.origin for raw in read_messages(stream(MESSAGE))] == ["-:1"]


def test_a_dash_is_standard_input_and_a_stream_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "feed"
    path.write_bytes(MESSAGE)
    with path.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert list(read_messages("-")) == [RawMessage(MESSAGE, "-:1")]
        assert os.fstat(stdin.fileno()).st_size == len(MESSAGE)
    with stream(MESSAGE) as opened:
        assert list(read_messages(opened)) == [RawMessage(MESSAGE, "-:1")]
        assert not opened.closed


@pytest.mark.parametrize("bad", [b"{broken", b"text", b'"text"', b"[1, 2", b"\xff\xfe", b'{"message": 1}', b"{" * 5000])
def test_a_bad_line_is_given_as_it_is_wherever_it_stands(bad: bytes):
    lines = [bad, MESSAGE, bad, MESSAGE]
    if bad.startswith(b"["):
        lines = lines[1:]  # a file that begins with a bracket is an array
    assert bodies(b"\n".join(lines)) == lines


def test_a_bad_item_of_an_array_is_given_as_it_is():
    assert bodies(b'[1, {"a": 2}, ' + MESSAGE + b', "text"]') == [b"1", b'{"a": 2}', MESSAGE, b'"text"']


def test_a_line_that_is_too_long_is_cut_and_refused_for_its_length():
    long = json.dumps({"message_type": "x" * 3 * MAX_BODY}).encode()
    for first, second in ((long, MESSAGE), (MESSAGE, long)):
        found = bodies(first + b"\n" + second + b"\n" + MESSAGE)
        assert [len(body) for body in found] == [min(len(part), MAX_BODY + 1) for part in (first, second, MESSAGE)]
    with pytest.raises(RejectedMessageError, match="more than the limit"):
        decode_link_message(bodies(MESSAGE + b"\n" + long)[1], received_at=RECEIVED)


def test_a_line_of_exactly_the_limit_is_whole():
    line = MESSAGE + b" " * 7
    assert [raw.body for raw in read_messages(stream(line + b"\n" + line), limit=len(MESSAGE))] == [MESSAGE, MESSAGE]


class Endless(RawIOBase):
    """The same bytes for ever."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.given += len(self.body)
        buffer[: len(self.body)] = self.body
        return len(self.body)


@pytest.mark.parametrize("first", [b"", b"broken\n"])
def test_lines_are_streamed_whatever_comes_after_them(first: bytes):
    source = Endless(MESSAGE + b"\n")
    with BufferedReader(source) as endless:
        found = read_messages(endless) if not first else read_messages(BufferedReader(Prefixed(first, source)))
        assert len(list(islice(found, 100_000))) == 100_000
    assert source.given < 100_000 * len(MESSAGE + b"\n") + 8 * 1024 * 1024


class Prefixed(RawIOBase):
    """Some bytes, then another stream."""

    def __init__(self, first: bytes, then: RawIOBase) -> None:
        self.first, self.then = first, then

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        first, self.first = self.first, b""
        buffer[: len(first)] = first
        return len(first) or self.then.readinto(buffer)  # type: ignore[return-value]


def test_a_pipe_that_stays_open_gives_each_message_as_it_comes():
    outlet, inlet = os.pipe()
    with os.fdopen(outlet, "rb") as reader, os.fdopen(inlet, "wb", buffering=0) as writer:
        found = read_messages(reader)
        for _ in range(3):
            writer.write(MESSAGE + b"\n")
            assert next(found).body == MESSAGE


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"hello\nworld\n", "-: is no JSON: "),
        (b"{", "-: is no JSON: "),
        (b"[" + MESSAGE, "-: is no JSON: "),
        (b"[" * 100_000, "-: is no JSON: "),
        (b"\xff\xfe{\x00}\x00", "-: is no JSON: "),
        (b'{"at": 1}\n{"at": 2}\n', "-: holds neither messages nor operations; accepted are messages as one JSON"),
        (b'{"version": "5.3.0"}', "-: holds neither messages nor operations; accepted are messages as one JSON"),
        (b'[{"id": "a", "paw": "b", "ability": {}}]', "-: holds links without their operation; export the operation"),
        (b'{"id": "a", "chain": {}}', "-: is no operation and no report of Caldera: Expected `array`, got `object`"),
        (b'{"steps": {}}', "-: is no operation and no report of Caldera: Object missing required field `name`"),
        (gzip.compress(MESSAGE, mtime=0)[:-12], "-: cannot be read: "),
        (b"\x1f\x8bgarbage", "-: cannot be read: "),
    ],
)
def test_anything_else_is_refused_with_what_is_accepted(body: bytes, problem: str):
    with pytest.raises(ConfigurationError) as caught:
        bodies(body)
    assert str(caught.value).startswith(problem)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path):
    for path, problem in ((tmp_path / "gone", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigurationError, match=f"{path}: cannot be read: {problem}"):
            list(read_messages(path))


@given(st.one_of(st.binary(), st.text().map(str.encode), st.lists(st.sampled_from([MESSAGE, b"{", b"[", b"\n", b" "]))))
def test_whatever_a_file_holds_it_gives_messages_or_one_refusal(content: Any):
    body = content if isinstance(content, bytes) else b"".join(content)
    try:
        found = list(read_messages(stream(body)))
    except ConfigurationError:
        return
    assert all(isinstance(raw, RawMessage) and raw.body for raw in found)


# --- the reference -------------------------------------------------------------------------------------------


def shown() -> list[Any]:
    blocks = re.findall(r"^```json\n(.*?)^```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [json.loads(block) for block in blocks]


@pytest.mark.parametrize("kind", MessageType)
def test_the_reference_shows_a_message_of_each_kind_that_is_accepted(kind: MessageType):
    [example] = [block for block in shown() if isinstance(block, dict) and block.get("message_type") == kind]
    assert decode_link_message(json.dumps(example).encode(), received_at=RECEIVED).message_type is kind


def test_the_reference_shows_hints_that_can_be_used():
    hints = [read_hints(block).hints for block in shown() if "message_type" not in block]
    assert [len(found) for found in hints] == [1, 2]
    assert not [hint.problem for found in hints for hint in found if hint.problem]
