"""The liberal reader: every accepted spelling, and everything an attacker or a broken publisher can send."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from checking_core.contracts import Clock, LinkState, MessageType, RunState, identity
from checking_core.errors import RejectedMessageError

from .wire import GONE, LINK_ID, OPERATION_ID, RECEIVED, execution_of, link_result, read


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


# --- both spellings ------------------------------------------------------------------------------------------


def test_either_spelling_of_a_field_gives_the_same_message():
    ours = link_result()
    theirs = link_result(
        operation={"operation_id": GONE, "id": OPERATION_ID, "operation_start": GONE, "start": "2026-11-20T19:28:36Z"},
        link_id=GONE, id=LINK_ID, link_state=GONE, state="SUCCESS",
    )  # fmt: skip
    first, second = read(ours), read(theirs)
    assert (first.operation, first.execution) == (second.operation, second.execution)


@pytest.mark.parametrize(
    ("told", "state", "run_state"),
    [
        ({"link_state": "success"}, LinkState.SUCCESS, RunState.RAN),
        ({"link_state": "FAILED"}, LinkState.ERROR, RunState.FAILED),
        ({"link_state": "ERROR", "status": 1}, LinkState.ERROR, RunState.FAILED),
        ({"link_state": GONE, "status": 0}, LinkState.SUCCESS, RunState.RAN),
        ({"link_state": GONE, "status": "124"}, LinkState.TIMEOUT, RunState.TIMED_OUT),
        ({"link_state": GONE, "status": -1}, LinkState.PAUSE, RunState.NEVER_RAN),
        ({"link_state": GONE, "status": -2}, LinkState.DISCARD, RunState.NEVER_RAN),
        ({"link_state": GONE, "status": -5}, LinkState.HIGH_VIZ, RunState.NEVER_RAN),
        ({"link_state": GONE, "status": -3, "finish": None}, LinkState.EXECUTE, RunState.LOST),
        ({"link_state": GONE, "status": -4, "finish": None}, LinkState.UNTRUSTED, RunState.LOST),
        ({"link_state": GONE, "status": -3, "finish": None, "collect": None}, LinkState.EXECUTE, RunState.NEVER_RAN),
    ],
)
def test_the_state_is_told_or_derived_from_the_status(told: dict[str, Any], state: LinkState, run_state: RunState):
    execution = execution_of(link_result(**told))
    assert (execution.link_state, execution.run_state) == (state, run_state)


def test_a_told_state_gives_the_status_that_is_missing():
    assert execution_of(link_result(status=GONE, link_state="TIMEOUT")).status == 124


@pytest.mark.parametrize("field", ["pid", "status"])
@pytest.mark.parametrize("value", [22, "22"])
def test_numbers_come_as_numbers_or_as_text(field: str, value: Any):
    assert getattr(execution_of(link_result(**{field: value})), field) == 22


@pytest.mark.parametrize("empty", [None, "", GONE])
def test_an_empty_number_is_a_missing_one(empty: Any):
    assert execution_of(link_result(pid=empty)).pid is None


@pytest.mark.parametrize(("value", "cleanup"), [(True, True), (1, True), (0, False), (None, False), (GONE, False)])
def test_cleanup_is_a_boolean_or_a_number(value: Any, cleanup: bool):
    assert execution_of(link_result(cleanup=value)).cleanup is cleanup


def test_the_kinds_of_message_are_told_apart():
    operation_state = {**link_result(), "message_type": "operation_state", "to_state": "finished"}
    del operation_state["execution"]
    message = read(operation_state)
    assert (message.message_type, message.execution) == (MessageType.OPERATION_STATE, None)
    assert message.operation.state == "finished"
    assert read({**link_result(), "message_type": "link_status"}).message_type is MessageType.LINK_STATUS


def test_fields_nobody_knows_are_kept_out_of_the_way():
    message = {**link_result(future={"a": [1]}), "future": "yes", "v": 1}
    assert read(message).execution == read(link_result()).execution


# --- identity ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", [LINK_ID, LINK_ID.upper(), LINK_ID.replace("-", ""), f" {LINK_ID}\n"])
def test_every_way_to_write_a_uuid_is_the_same_link(spelling: str):
    execution = execution_of(link_result(link_id=spelling))
    assert str(execution.link_id) == LINK_ID
    assert execution.source_id is None


@pytest.mark.parametrize(
    "text", ["link-7", "0_" + "0" * 29 + "1", "+" + "0" * 31, "4-6-4-a80be0d2e4f5c9a516f5c0a5e7a11", "é" * 36]
)
def test_an_id_that_is_no_uuid_is_derived_and_kept(text: str):
    execution = execution_of(link_result(link_id=text))
    assert execution.link_id == identity("caldera", text)
    assert execution.source_id == text


def test_a_number_is_an_id_too():
    message = read(link_result(operation={"operation_id": 7}))
    assert message.operation.operation_id == identity("caldera", "7")
    assert message.operation.source_id == "7"


def test_the_same_id_of_two_sources_names_two_things():
    caldera, atomic = (read(link_result(operation={"operation_id": "1", "source": s})) for s in ("caldera", "atomic"))
    assert caldera.operation.operation_id != atomic.operation.operation_id


@pytest.mark.parametrize("missing", [GONE, None, "", "  "])
def test_a_missing_link_id_is_derived_from_what_was_done(missing: Any):
    first = execution_of(link_result(link_id=missing))
    assert first.link_id == execution_of(link_result(link_id=missing)).link_id
    others = ({"agent_host": "ws02"}, {"command": "id"}, {"order": 2}, {"collect": "2026-11-20T19:28:37Z"})
    ids = {execution_of(link_result(link_id=missing, **other)).link_id for other in others}
    assert len(ids | {first.link_id}) == 5


def test_a_derived_link_id_does_not_depend_on_when_the_message_arrived():
    message = {**link_result(link_id=GONE, collect=GONE, finish=GONE)}
    del message["timestamp"]
    body = json.dumps(message).encode()
    from checking_core.contracts import decode_link_message

    days = (RECEIVED, RECEIVED.replace(day=21))
    first, second = (decode_link_message(body, received_at=day).execution for day in days)
    assert first is not None
    assert second is not None
    assert first.link_id == second.link_id


@pytest.mark.parametrize("missing", [GONE, None, "", " "])
def test_an_operation_without_id_is_rejected(missing: Any):
    rejected(link_result(operation={"operation_id": missing}), "operation.operation_id")


# --- time ----------------------------------------------------------------------------------------------------


def test_times_are_utc_whatever_the_offset():
    execution = execution_of(link_result(finish="2026-11-20T21:28:39+02:00"))
    assert execution.finished_at == at("2026-11-20T19:28:39Z")
    assert execution.finished_at.tzinfo is UTC


def test_a_naive_start_of_the_operation_is_read_as_utc_and_marked():
    operation = read(link_result(operation={"operation_start": "2026-11-20T19:28:36"})).operation
    assert (operation.operation_start, operation.naive_start) == (at("2026-11-20T19:28:36Z"), True)
    assert read(link_result()).operation.naive_start is False


@pytest.mark.parametrize(
    ("told", "started", "finished", "clock"),
    [
        ({}, "2026-11-20T19:28:38.25Z", "2026-11-20T19:28:39Z", Clock.SERVER),
        ({"finish": "2026-11-20T19:28:38Z"}, "2026-11-20T19:28:38.25Z", "2026-11-20T19:28:38.25Z", Clock.SERVER),
        ({"finish": None}, "2026-11-20T19:28:38.25Z", None, Clock.SERVER),
        ({"collect": None}, "2026-11-20T19:28:39Z", "2026-11-20T19:28:39Z", Clock.SERVER),
        ({"collect": None, "agent_reported_time": "2026-11-20T19:28:37Z"},
         "2026-11-20T19:28:37Z", "2026-11-20T19:28:39Z", Clock.AGENT),
        ({"collect": None, "finish": None, "started_at_least": "2026-11-20T19:28:37Z"},
         "2026-11-20T19:28:37Z", None, Clock.AGENT),
        ({"collect": None, "finish": None, "decide": "2026-11-20T19:28:30Z"},
         "2026-11-20T19:28:30Z", None, Clock.SERVER),
        ({"collect": None, "finish": None},
         "2026-11-20T19:28:40.116489Z", None, Clock.MESSAGE),
    ],
)  # fmt: skip
def test_the_server_clock_is_preferred_then_the_agents_then_the_messages(
    told: dict[str, Any], started: str, finished: str | None, clock: Clock
):
    execution = execution_of(link_result(**told))
    assert (execution.started_at, execution.finished_at, execution.clock) == (
        at(started),
        at(finished) if finished else None,
        clock,
    )


def test_an_agent_clock_that_runs_ahead_of_the_server_is_not_believed():
    execution = execution_of(link_result(collect=None, agent_reported_time="2026-11-21T19:28:39Z"))
    assert (execution.started_at, execution.clock) == (at("2026-11-20T19:28:39Z"), Clock.SERVER)
    assert execution.agent_reported_time == at("2026-11-21T19:28:39Z")


def test_a_message_without_timestamp_takes_the_times_it_tells_so_that_a_repetition_is_one():
    message = link_result()
    del message["timestamp"]
    assert read(message).timestamp == at("2026-11-20T19:28:39Z")


def test_a_message_without_any_time_is_as_old_as_its_arrival():
    message = link_result(collect=None, finish=None)
    del message["timestamp"]
    assert read(message).timestamp == RECEIVED


@pytest.mark.parametrize("empty", ["", None, GONE])
@pytest.mark.parametrize("field", ["collect", "finish", "decide", "agent_reported_time", "started_at_least"])
def test_an_empty_time_is_a_missing_one(field: str, empty: Any):
    assert read(link_result(**{field: empty})).execution is not None


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-11-20", "-001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
     "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "1780000000", "2026-11-20T19:28:39\u0000Z",
     "x" * 5000],
)  # fmt: skip
@pytest.mark.parametrize("field", ["collect", "finish", "decide", "agent_reported_time", "started_at_least"])
def test_a_time_that_no_run_can_have_is_rejected(field: str, text: str):
    rejected(link_result(**{field: text}), f"execution.{field}")


@pytest.mark.parametrize("value", [1_780_000_000, 1.5, True, {}, []])
def test_a_time_that_is_no_text_is_rejected(value: Any):
    rejected(link_result(finish=value), "execution.finish")
    rejected({**link_result(), "timestamp": value}, "timestamp")
    rejected(link_result(operation={"start": value}), "operation.start")


# --- output --------------------------------------------------------------------------------------------------

OUTPUT = {"stdout": "ok", "exit_code": "0"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (OUTPUT, OUTPUT),
        (json.dumps(OUTPUT), OUTPUT),
        (base64.b64encode(json.dumps(OUTPUT).encode()).decode(), OUTPUT),
        ("root\n", {"raw": "root\n"}),
        ("e30", {"raw": "e30"}),
        ("ünïcode 🤖", {"raw": "ünïcode 🤖"}),
        ("[1, 2]", {"raw": "[1, 2]"}),
        ('{"cut', {"raw": '{"cut'}),
        (base64.b64encode(b'{"a": "\xff"}').decode(), {"raw": "eyJhIjogIv8ifQ=="}),
        ("", None),
        (None, None),
    ],
)
def test_output_comes_as_object_json_base64_or_plain_text(given: Any, kept: Any):
    assert execution_of(link_result(result_data=given)).result_data == kept


@pytest.mark.parametrize("hostile", ["\x00", "\ud800", "\udfff\ud800", "a\x00b"])
@pytest.mark.parametrize("pack", [lambda o: o, json.dumps, lambda o: base64.b64encode(json.dumps(o).encode()).decode()])
def test_what_no_store_can_keep_is_replaced_wherever_it_hides(hostile: str, pack: Any):
    message = link_result(
        command=f"echo {hostile}",
        result_data=pack({"stdout": hostile, hostile: [hostile]}),
        detections=[{"detection_config": {"query": hostile, hostile: 1}}],
        unknown=hostile,
    )
    kept = read(message)
    assert kept.execution is not None
    texts = (kept.execution.command, str(kept.execution.result_data), str(kept.execution.hints), kept.raw)
    for text in texts:
        assert "\x00" not in text
        assert "\\u0000" not in text.replace("\\\\", "")
        text.encode()
    assert "�" in str(kept.execution.result_data)
    json.dumps(json.loads(kept.raw), ensure_ascii=False).encode()


def test_real_surrogate_pairs_and_backslashes_survive():
    text = '🤖 \\u0000 \\ud800 C:\\users\\d800 "'
    assert execution_of(link_result(command=text)).command == text


def test_raw_is_the_message_as_it_came():
    body = json.dumps(link_result(), indent=1).encode()
    assert read(body).raw == body.decode()


# --- rejections ----------------------------------------------------------------------------------------------


def rejected(message: Any, field: str) -> RejectedMessageError:
    with pytest.raises(RejectedMessageError) as caught:
        read(message)
    assert caught.value.field == field
    assert len(str(caught.value)) < 300
    return caught.value


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"agent_host": GONE}, "execution.agent_host"),
        ({"agent_host": " "}, "execution.agent_host"),
        ({"agent_host": "x" * 256}, "execution.agent_host"),
        ({"agent_host": 7}, "execution.agent_host"),
        ({"agent_paw": "x" * 256}, "execution.agent_paw"),
        ({"command": ["whoami"]}, "execution.command"),
        ({"link_id": "x" * 256}, "execution.link_id"),
        ({"link_id": 10**30}, "execution.link_id"),
        ({"link_id": int("9" * 4000)}, "execution.link_id"),
        ({"link_id": True}, "execution.link_id"),
        ({"link_id": 1.0}, "execution.link_id"),
        ({"pid": True}, "execution.pid"),
        ({"pid": 1.0}, "execution.pid"),
        ({"pid": "1.5"}, "execution.pid"),
        ({"pid": 2**70}, "execution.pid"),
        ({"pid": str(2**70)}, "execution.pid"),
        ({"pid": "9" * 5000}, "execution.pid"),
        ({"status": 1e9}, "execution.status"),
        ({"status": 3, "link_state": GONE}, "execution.status"),
        ({"status": GONE, "link_state": GONE}, "execution.link_state"),
        ({"link_state": "OBLITERATED"}, "execution.link_state"),
        ({"cleanup": "maybe"}, "execution.cleanup"),
        ({"order": "first"}, "execution.order"),
        ({"agent": {"ips": ["10.0.0.1"] * 300}}, "execution.agent.ips"),
        ({"agent": {"pid": "x"}}, "execution.agent.pid"),
        ({"agent": "x"}, "execution.agent"),
        ({"ability": {"technique_id": "T" * 256}}, "execution.ability.technique_id"),
        ({"result_data": [0] * 200_000}, "execution.result_data"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], field: str):
    rejected(link_result(**changes), field)


@pytest.mark.parametrize("field", ["message_type", "operation", "execution"])
def test_a_missing_part_is_named(field: str):
    message = link_result()
    del message[field]
    rejected(message, field)


@pytest.mark.parametrize(("version", "field"), [(2, "v"), ("1", "v"), (True, "v"), (10**4000, "v")])
def test_an_unknown_version_is_rejected(version: Any, field: str):
    rejected({**link_result(), "v": version}, field)


def test_an_unknown_kind_of_message_is_rejected_without_repeating_it():
    error = rejected({**link_result(), "message_type": "<script>" * 10_000}, "message_type")
    assert "script" not in str(error)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b"7", b'"text"', b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"a": NaN}',
     b"[" * 100_000, b'{"x":' * 100_000],
)  # fmt: skip
def test_what_is_no_json_object_is_rejected(body: bytes):
    rejected(body, "$")


def test_bytes_that_are_no_utf8_are_rejected_even_in_a_field_nobody_reads():
    body = json.dumps({**link_result(), "unknown": "HERE"}).encode().replace(b"HERE", b"\xff\xfe")
    rejected(body, "$")


def test_a_message_over_the_limit_is_rejected_unread():
    rejected(b"\xff" * (1024 * 1024 + 1), "$")


def with_bomb(field: str, depth: int) -> bytes:
    bomb = b"[" * depth + b"]" * depth
    return json.dumps(link_result(**{field: "HERE"})).encode().replace(b'"HERE"', bomb)


@pytest.mark.parametrize(
    ("field", "depth", "named"),
    [
        ("result_data", 40, "execution.result_data"),
        ("result_data", 900, "execution.result_data"),
        ("command", 900, "execution.command"),
        *((field, 100_000, "$") for field in ("result_data", "detections", "command", "unknown")),
    ],
)
def test_a_nesting_bomb_is_rejected(field: str, depth: int, named: str):
    rejected(with_bomb(field, depth), named)


@pytest.mark.parametrize("depth", [40, 900])
def test_a_nesting_bomb_as_hint_is_a_hint_with_a_problem(depth: int):
    (hint,) = execution_of(with_bomb("detections", depth)).hints
    assert hint.problem == "detections: is nested more than 32 deep"


def test_numbers_too_large_for_any_reader_are_rejected():
    body = json.dumps(link_result(result_data={"n": "HERE"})).encode().replace(b'"HERE"', b"9" * 5000)
    rejected(body, "execution.result_data[...]")
