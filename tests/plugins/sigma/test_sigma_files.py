"""Files of telemetry: every kind is told by its content, read once, and read on where it grows."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.errors import BackendUnreachableError
from checking_plugin_sigma.evaluate.scan import Scanner, events_of
from checking_plugin_sigma.events.json_array import array_records
from checking_plugin_sigma.events.reader import Reader
from checking_plugin_sigma.events.routing import Logsource
from checking_plugin_sigma.events.source import files_of, said_for

from .rules_and_events import a_rule

RECORDS = [{"Channel": "Security", "EventID": 4688, "A": str(number)} for number in range(3)]
LINES = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)


def events_in(path: Path) -> list[tuple[int, str]]:
    reader = Reader(path)
    return [(event.line, event.text("A")) for events in events_of(reader, None, None) for event in events]


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members.items():
            archive.writestr(f"folder/{name}", body)
    return path


@pytest.mark.parametrize(
    "body",
    [
        LINES,
        LINES.rstrip(),
        LINES.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + LINES,
        gzip.compress(LINES),
        json.dumps(RECORDS).encode(),
        json.dumps(RECORDS, indent=2).encode(),
        gzip.compress(json.dumps(RECORDS).encode()),
    ],
    ids=["lines", "no last break", "windows", "mark", "gzip", "array", "indented array", "gzip array"],
)
def test_a_file_is_told_by_its_content_whatever_its_name(body, tmp_path):
    (tmp_path / "some.log").write_bytes(body)
    assert events_in(tmp_path / "some.log") == [(1, "0"), (2, "1"), (3, "2")]


def test_every_member_of_an_archive_is_read(tmp_path):
    path = zipped(tmp_path / "a.zip", one=LINES, two=gzip.compress(LINES), three=json.dumps(RECORDS).encode())
    assert events_in(path) == [(1, "0"), (2, "1"), (3, "2")] * 3


def test_a_bundle_of_records_is_as_many_events(tmp_path):
    (tmp_path / "trail.json").write_text(json.dumps({"Records": RECORDS}))
    assert [value for _, value in events_in(tmp_path / "trail.json")] == ["0", "1", "2"]


def test_what_cannot_be_read_is_counted(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"A": 1}\nnonsense\n\n[1]\n{"A": \n{"A": 2}\n')
    scanner = Scanner([a_rule({"A": "*"}, logsource={"category": "any"})])
    list(scanner.scan(tmp_path / "x.jsonl"))
    assert (scanner.events, scanner.unreadable) == (2, {tmp_path / "x.jsonl": 3})


def test_files_of_one_name_are_counted_apart(tmp_path):
    scanner = Scanner([a_rule({"A": "*"})])
    for name in ("broken", "whole"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").write_text("nonsense\n" if name == "broken" else "{}\n")
        list(scanner.scan(tmp_path / name / "x.jsonl"))
    assert scanner.unreadable == {tmp_path / "broken" / "x.jsonl": 1}


def test_a_record_that_is_nested_too_deep_is_counted_and_no_others_are_lost(tmp_path):
    deep = b"[" * 20_000
    (tmp_path / "x.jsonl").write_bytes(b'{"A": 1}\n{"B": ' + deep + b'\n{"A": 2}\n' + b'{"B": ' + deep)
    reader = Reader(tmp_path / "x.jsonl")
    assert sum(len(events) for events in events_of(reader, None, None)) == 2
    assert reader.unreadable == 1


@pytest.mark.parametrize(("end", "read"), [(-20, 2), (-1, 3)], ids=["in an object", "behind one"])
def test_an_array_that_is_cut_off_is_counted(end, read, tmp_path):
    (tmp_path / "x.json").write_bytes(json.dumps(RECORDS).encode()[:end])
    reader = Reader(tmp_path / "x.json")
    assert sum(len(events) for events in events_of(reader, None, None)) == read
    assert reader.unreadable == 1


def test_an_encrypted_archive_is_an_outage_and_not_silence(tmp_path):
    path = zipped(tmp_path / "x.zip", one=LINES)
    body = bytearray(path.read_bytes())
    for place in (6, body.index(b"PK\x01\x02") + 8):
        body[place] |= 1  # the flag that says so, in front of the member and in the directory
    path.write_bytes(body)
    with pytest.raises(BackendUnreachableError, match=r"x\.zip cannot be read: .*encrypted"):
        events_in(path)


@pytest.mark.parametrize(
    "body",
    [b"\x1f\x8bnonsense", b"PK\x03\x04nonsense", gzip.compress(LINES)[:40]],
    ids=["gzip", "zip", "cut off"],
)
def test_a_broken_archive_is_an_outage_and_not_silence(body, tmp_path):
    (tmp_path / "x").write_bytes(body)
    with pytest.raises(BackendUnreachableError, match="cannot be read"):
        events_in(tmp_path / "x")


def test_a_broken_windows_log_is_an_outage_and_not_silence(tmp_path):
    (tmp_path / "x.evtx").write_bytes(b"ElfFile\0nonsense")
    with pytest.raises(BackendUnreachableError, match=r"x\.evtx cannot be read"):
        events_in(tmp_path / "x.evtx")


class Growing:
    """A log that is written while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mark = None
        self.anew = False

    def write(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text)

    def read(self) -> list[tuple[int, str]]:
        reader = Reader(self.path, self.mark)
        self.anew = reader.anew
        found = [(event.line, event.text("A")) for events in events_of(reader, None, None) for event in events]
        self.mark = reader.mark
        return found


def test_a_growing_file_is_read_on_from_where_the_last_reading_ended(tmp_path):
    log = Growing(tmp_path / "x.jsonl")
    log.write('{"A": 1}\n')
    assert (log.read(), log.anew) == ([(1, "1")], True)
    assert (log.read(), log.anew) == ([], False)
    log.write('{"A": 2}\n{"A": 3}\n')
    assert (log.read(), log.anew) == ([(2, "2"), (3, "3")], False)


def test_a_line_that_is_half_written_waits_for_its_end(tmp_path):
    log = Growing(tmp_path / "x.jsonl")
    log.write('{"A": 1}\n{"A"')
    assert log.read() == [(1, "1")]
    log.write(": 2}\n")
    assert log.read() == [(2, "2")]


def test_a_file_that_was_rotated_or_cut_is_read_anew(tmp_path):
    log = Growing(tmp_path / "x.jsonl")
    log.write('{"A": 1}\n{"A": 2}\n')
    log.read()
    log.path.rename(tmp_path / "x.jsonl.1")
    log.write('{"A": 3}\n')
    assert (log.read(), log.anew) == ([(1, "3")], True)
    log.write('{"A": 4}\n')
    assert log.read() == [(2, "4")]
    log.path.write_text("")
    assert log.read() == []
    log.write('{"A": 5}\n')
    assert log.read() == [(1, "5")]


@pytest.mark.parametrize("more", [1, 2, 500])
def test_a_file_that_was_emptied_in_place_and_has_grown_past_its_mark_is_read_anew(more, tmp_path):
    log = Growing(tmp_path / "x.jsonl")
    log.write('{"A": 1}\n{"A": 2}\n')
    log.read()
    log.path.write_text("".join(f'{{"A": {number}}}\n' for number in range(3, 4 + more)))
    found = [(number - 2, str(number)) for number in range(3, 4 + more)]
    assert (log.read(), log.anew) == (found, True)
    log.write('{"A": 0}\n')
    assert (log.read(), log.anew) == ([(more + 2, "0")], False)


def test_a_packed_file_is_read_anew_only_when_it_changed(tmp_path):
    log = Growing(tmp_path / "x.gz")
    log.path.write_bytes(gzip.compress(LINES))
    assert len(log.read()) == 3
    assert (log.read(), log.anew) == ([], False)
    log.path.write_bytes(gzip.compress(LINES + LINES))
    assert (len(log.read()), log.anew) == (6, True)


@given(
    st.lists(
        st.recursive(
            st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        ).map(lambda value: {"value": value})
    ),
    st.integers(1, 50),
)
def test_an_array_is_taken_apart_wherever_its_blocks_end(elements, block):
    class Blocks:
        def __init__(self) -> None:
            self.rest = msgspec.json.encode(elements)

        def read(self, size: int) -> bytes:
            taken, self.rest = self.rest[: min(size, block)], self.rest[min(size, block) :]
            return taken

    assert [msgspec.json.decode(raw) for raw in array_records(Blocks()) if raw is not None] == elements


def test_paths_folders_and_patterns_name_files_once(tmp_path):
    for name in ("a.jsonl", "b.jsonl", "deep/c.log", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(LINES)
    names = lambda *places: [path.name for path in files_of([str(tmp_path / place) for place in places])]  # noqa: E731
    assert names("") == ["a.jsonl", "b.jsonl", "c.log"]
    assert names("a.jsonl", "*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names("**/*.log") == ["c.log"]
    assert names("nothing") == []


def test_a_log_source_may_be_named_for_a_file(tmp_path):
    path = tmp_path / "web.jsonl"
    path.write_text('{"A": "x"}\n')
    rule = a_rule({"A": "x"}, logsource={"category": "webserver"})
    assert list(Scanner([rule]).scan(path)) == []
    named = {"*/web.jsonl": Logsource(category="webserver")}
    assert [hit.event.line for hit in Scanner([rule], logsources=named).scan(path)] == [1]
    assert said_for(tmp_path / "other.jsonl", named) is None


def test_events_of_other_ids_are_left_out_before_they_are_decoded(tmp_path):
    """Only the plain form may be trusted: an id within another text, or in another place, is decoded."""
    rule = a_rule({"A": "x"}, logsource={"product": "windows", "category": "process_termination"})
    others = '{"EventID":1,"Channel":"Security"}\n{"EventID": 6,"Channel":"Security"}\n{"EventID":11,"A":1}\n'
    ours = (
        '{"EventID":5,"Channel":"Security"}\n{"x":{"EventID":1},"EventID":5}\n{"a":"\\"EventID\\":1","Channel":"y"}\n'
    )
    (tmp_path / "x.jsonl").write_text(others + ours)
    scanner = Scanner([rule])
    list(scanner.scan(tmp_path / "x.jsonl"))
    assert (scanner.events, scanner.left_out) == (3, 3)


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"EventID": 7, "A": "x"}, {"*": Logsource("windows", "process_termination")}),
        ({"EventID": 7, "A": "x", "logsource": {"product": "windows", "category": "process_termination"}}, {}),
    ],
    ids=["by the setting", "by the event"],
)
def test_an_event_that_is_told_otherwise_than_by_its_id_is_not_left_out_for_it(event, named, tmp_path):
    rule = a_rule({"A": "x"}, logsource={"product": "windows", "category": "process_termination"})
    (tmp_path / "x.jsonl").write_bytes(msgspec.json.encode(event))
    assert len(list(Scanner([rule], logsources=named).scan(tmp_path / "x.jsonl"))) == 1


def test_small_files_that_are_evaluated_together_keep_their_hits_apart(tmp_path):
    rule = a_rule({"A": ["1", "2"]})
    for name in "cab":
        (tmp_path / name).write_bytes(LINES)
    found = [(hit.path.name, hit.event.line) for hit in Scanner([rule]).scan_all([tmp_path / name for name in "cab"])]
    assert found == [("c", 2), ("c", 3), ("a", 2), ("a", 3), ("b", 2), ("b", 3)]
