"""Tasks and results: round trips, what an original-style worker sends, and ten thousand broken messages."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import (
    Answer,
    Clock,
    DetectionResult,
    DetectionTask,
    Evidence,
    EvidenceClaim,
    EvidenceKind,
    ExecutionContext,
    MatchTier,
    NearMiss,
    Outcome,
    ParsedResults,
    Prevention,
    Reason,
    TaskMetadata,
    Timing,
    decode_link_message,
    decode_result,
    decode_task,
    encode,
)
from checking_core.contracts.verdict import CheckStatus
from checking_core.errors import RejectedMessageError

RECEIVED = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
GOLDEN = [json.loads(path.read_text("utf-8")) for path in sorted((Path(__file__).parent / "golden").rglob("*.json"))]


def wire(kind: str, **changes: Any) -> bytes:
    message = next(golden["wire"] for golden in GOLDEN if golden["kind"] == kind)
    return json.dumps({**message, **changes}).encode()


# --- round trips ---------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
SPANS = st.floats(0, 30 * 86_400)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


CONTEXTS = st.builds(
    ExecutionContext,
    agent_host=TEXT,
    agent_paw=TEXT,
    agent_reported_time=maybe(TIMES),
    started_at_least=maybe(TIMES),
    link_id=maybe(st.uuids()),
    pid=maybe(st.integers(0, 2**31)),
    command=TEXT,
    plaintext_command=maybe(TEXT),
    executor=maybe(TEXT),
    platform=maybe(TEXT),
    user=maybe(TEXT),
    technique_id=maybe(TEXT),
    tactic=maybe(TEXT),
    started_at=maybe(TIMES),
    finished_at=maybe(TIMES),
    clock=st.sampled_from(Clock),
    host_aliases=st.lists(TEXT, max_size=3).map(tuple),
)
TASKS = st.builds(
    DetectionTask,
    task_id=st.uuids(),
    detection_execution_id=st.uuids(),
    operation_id=st.uuids(),
    detection_type=TEXT,
    detection_platform=TEXT,
    detection_config=OBJECTS,
    created_at=TIMES,
    execution_context=CONTEXTS,
    max_retries=st.integers(0, 100),
    metadata=st.builds(TaskMetadata, worker_type=TEXT, priority=TEXT | st.integers(0, 9), target_queue=TEXT),
    v=st.just(1),
    look=st.integers(1, 2**31 - 1),
    deadline=maybe(TIMES),
    deadline_passed=st.booleans(),
    backend=TEXT,
    timing=maybe(
        st.builds(
            Timing,
            before=SPANS,
            after=SPANS,
            settle=SPANS,
            deadline=SPANS,
            poll_interval=SPANS,
            timeout=SPANS,
            delay=SPANS,
        )
    ),
)
EVIDENCE = st.builds(
    Evidence,
    kind=st.sampled_from(EvidenceKind),
    id=TEXT,
    title=TEXT,
    event_at=maybe(TIMES),
    url=maybe(TEXT),
    fields=OBJECTS,
)
NEAR_MISSES = st.builds(
    NearMiss, kind=st.sampled_from(EvidenceKind), id=TEXT, reason=st.sampled_from(Reason), title=TEXT
)
PARSED = st.builds(
    ParsedResults,
    evidence=st.lists(EVIDENCE, max_size=2).map(tuple),
    near_misses=st.lists(NEAR_MISSES, max_size=2).map(tuple),
    near_miss_counts=st.dictionaries(TEXT, st.integers(0, 99), max_size=2),
)
RESULTS = st.builds(
    DetectionResult,
    id=st.uuids(),
    detection_execution_id=st.uuids(),
    detected=maybe(st.booleans()),
    raw_response=JSON,
    parsed_results=maybe(PARSED) | JSON,
    result_timestamp=TIMES,
    result_source=TEXT,
    result_metadata=OBJECTS,
    started_at=maybe(TIMES),
    status=st.sampled_from(CheckStatus),
    retry_count=st.integers(0, 2**31 - 1),
    v=st.just(1),
    look=st.integers(1, 2**31 - 1),
    prevention=st.sampled_from(Prevention),
    alert=st.sampled_from(Answer),
    rule=st.sampled_from(Answer),
    telemetry=st.sampled_from(Answer),
    alive=st.sampled_from(Answer),
    outcome=maybe(st.sampled_from(Outcome)),
    reason=maybe(st.sampled_from(Reason)),
    match_tier=maybe(st.sampled_from(MatchTier)),
    claims=st.lists(st.builds(EvidenceClaim, record_id=TEXT, tier=st.sampled_from(MatchTier)), max_size=2).map(tuple),
    event_at=maybe(TIMES),
    indexed_at=maybe(TIMES),
    alert_at=maybe(TIMES),
    query_sent=maybe(TEXT),
    searched_from=maybe(TIMES),
    searched_to=maybe(TIMES),
    clock_offset=maybe(st.floats(-1e9, 1e9)),
    final=st.booleans(),
)


@given(TASKS)
def test_a_task_comes_back_as_it_was_sent(task: DetectionTask):
    assert decode_task(encode(task)) == task
    assert encode(decode_task(encode(task))) == encode(task)


@given(RESULTS)
def test_a_result_comes_back_as_it_was_sent(result: DetectionResult):
    assert encode(decode_result(encode(result))) == encode(result)


@given(st.text(), OBJECTS)
def test_whatever_a_backend_answers_can_be_sent_and_read(hostile: str, answer: dict[str, Any]):
    result = decode_result(wire("result"))
    answered = msgspec.structs.replace(
        result, raw_response={hostile: [answer, hostile]}, query_sent=hostile, result_metadata={"error": hostile}
    )
    body = encode(answered)
    read = decode_result(body)
    assert encode(decode_result(encode(read))) == encode(read)
    assert "\x00" not in (read.query_sent or "")


def test_a_lone_surrogate_in_an_answer_does_not_lose_the_result():
    result = msgspec.structs.replace(decode_result(wire("result")), raw_response={"\ud800": ["a\udfffb", "\x00"]})
    assert decode_result(encode(result)).raw_response == {"�": ["a�b", "�"]}


# --- what original servers and workers send ------------------------------------------------------------------


def test_a_time_without_offset_is_utc():
    result = decode_result(
        wire("result", result_timestamp="2024-01-15T10:30:05.000001", alert_at="2024-01-15T10:30:05")
    )
    assert result.result_timestamp == datetime(2024, 1, 15, 10, 30, 5, 1, tzinfo=UTC)
    assert result.alert_at == datetime(2024, 1, 15, 10, 30, 5, tzinfo=UTC)
    context = {
        "agent_host": "ws01",
        "agent_reported_time": "2024-01-15T12:30:05+02:00",
        "started_at": "2024-01-15T10:30:05",
    }
    task = decode_task(wire("task", created_at="2024-01-15T10:30:05", execution_context=context))
    assert task.created_at == datetime(2024, 1, 15, 10, 30, 5, tzinfo=UTC)
    assert task.execution_context.agent_reported_time == task.execution_context.started_at == task.created_at
    assert task.execution_context.agent_reported_time.tzinfo is UTC  # type: ignore[union-attr]


def test_null_is_a_missing_field_but_stays_in_what_a_backend_answered():
    answer = {"a": None, "b": ""}
    result = decode_result(wire("result", status=None, retry_count=None, raw_response=answer, result_metadata=answer))
    assert (result.status, result.retry_count) == (CheckStatus.COMPLETED, 0)
    assert result.raw_response == result.result_metadata == answer


# --- rejections ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "not-a-uuid"}, "id"),
        ({"id": None}, "id"),
        ({"status": "<script>"}, "status"),
        ({"status": 1}, "status"),
        ({"detected": "yes"}, "detected"),
        ({"retry_count": -1}, "retry_count"),
        ({"retry_count": 2**40}, "retry_count"),
        ({"look": 0}, "look"),
        ({"result_source": "x" * 256}, "result_source"),
        ({"claims": [{"record_id": "x" * 513, "tier": "host"}]}, "claims[0].record_id"),
        ({"clock_offset": "1"}, "clock_offset"),
        ({"result_timestamp": "soon"}, "result_timestamp"),
        ({"searched_to": "9999-12-31T23:59:59-12:00"}, "searched_to"),
        ({"alert_at": "1601-01-01T00:00:00Z"}, "alert_at"),
        ({"v": 2}, "v"),
        ({"v": 10**4000}, "v"),
    ],
)
def test_a_wrong_field_of_a_result_is_named(changes: dict[str, Any], field: str):
    rejected(decode_result, wire("result", **changes), field)


@pytest.mark.parametrize("field", ["raw_response", "parsed_results", "result_metadata"])
def test_a_nesting_bomb_in_a_result_is_rejected(field: str):
    for depth, named in ((40, field), (900, field), (100_000, "$")):
        bomb = b'{"a":' * depth + b"0" + b"}" * depth
        rejected(decode_result, wire("result", **{field: "HERE"}).replace(b'"HERE"', bomb), named)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"task_id": 7}, "task_id"),
        ({"operation_id": None}, "operation_id"),
        ({"detection_config": []}, "detection_config"),
        ({"execution_context": {}}, "execution_context.agent_host"),
        ({"execution_context": {"agent_host": "a", "clock": "sun"}}, "execution_context.clock"),
        (
            {"execution_context": {"agent_host": "a", "started_at": "1601-01-01T00:00:00Z"}},
            "execution_context.started_at",
        ),
        ({"max_retries": 101}, "max_retries"),
        ({"timing": {"before": -1, "after": 1, "settle": 1, "deadline": 1}}, "timing.before"),
        ({"timing": {"before": 1, "after": 1, "settle": 1, "deadline": 1e12}}, "timing.deadline"),
        ({"created_at": None}, "created_at"),
        ({"v": 0}, "v"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_task_is_named(changes: dict[str, Any], field: str):
    rejected(decode_task, wire("task", **changes), field)


@pytest.mark.parametrize("decode", [decode_task, decode_result])
def test_a_body_over_the_limit_is_rejected_unread(decode: Callable[..., Any]):
    with pytest.raises(RejectedMessageError, match=r"^\$: 11 bytes are more than the limit of 10$"):
        decode(b"\xff" * 11, limit=10)


def rejected(decode: Callable[[bytes], Any], body: bytes, field: str) -> None:
    with pytest.raises(RejectedMessageError) as caught:
        decode(body)
    assert caught.value.field == field
    assert "script" not in str(caught.value)
    assert len(str(caught.value)) < 300


# --- ten thousand broken messages ----------------------------------------------------------------------------

HOSTILE: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**30, 1e308, -1e308),
    *("", " ", "\x00", "\ud800", "\u202e", "é" * 300, "x" * 2000, "1" * 400, "T" * 36, "0" * 32),
    *("2026-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-02-30T00:00:00Z"),
    *("{'a': ", "[{'detection_config': 1e999}]", "{**{}}", "eyJhIjogMX0=", '{"a": "\\u0000"}', "=" * 9),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": {"c": []}}}, {"id": {"id": []}}),
]


def mutated(message: Any, rng: random.Random) -> bytes:
    """The message with up to four things broken: in its structure, in its bytes, or in both."""
    for _ in range(rng.randint(0, 3)):
        message = restructured(message, rng)
    body = bytearray(json.dumps(message, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))
    for _ in range(rng.choice([0, 0, 1])):
        garble(body, rng)
    return bytes(body)


def restructured(message: Any, rng: random.Random) -> Any:
    """A field replaced, removed, copied elsewhere, wrapped or renamed, at a place that is drawn."""
    message = json.loads(json.dumps(message))
    holders = [message]
    for holder in holders:
        holders += [
            child
            for child in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(child, dict | list)
        ]
    holder = rng.choice([found for found in holders if found] or [message])
    if not holder:
        return rng.choice(HOSTILE)
    key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    change = rng.randrange(5)
    if change == 0:
        holder[key] = rng.choice(HOSTILE)
    elif change == 1:
        del holder[key]
    elif change == 2:
        holder[key] = json.loads(json.dumps(rng.choice(holders)))
    elif change == 3:
        for _ in range(rng.choice([1, 31, 200])):
            holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}
    elif isinstance(holder, dict):
        holder[rng.choice(["id", "detections", "execution", "v", "\x00", "result_data", "status"])] = holder.pop(key)
    return message


def garble(body: bytearray, rng: random.Random) -> None:
    """A byte flipped, a piece cut out, copied, or put in."""
    if not body:
        return
    start = rng.randrange(len(body))
    change = rng.randrange(5)
    if change == 0:
        body[start] ^= 1 << rng.randrange(8)
    elif change == 1:
        del body[start:]
    elif change == 2:
        del body[start : start + rng.randrange(20)]
    elif change == 3:
        body[start:start] = body[start : start + rng.randrange(200)]
    else:
        body[start:start] = rng.choice(
            [b"\xff", b"\x00", b'"', b"\\u0000", b"\\ud800", b"[" * 2000, b"9" * 5000, b"1e999"]
        )


@pytest.mark.parametrize("kind", ["link", "task", "result"])
def test_a_broken_message_is_read_or_rejected_with_a_field(kind: str):
    seed = os.environ.get("CHECKING_TEST_SEED") or str(random.SystemRandom().getrandbits(32))
    print(f"CHECKING_TEST_SEED={seed}")
    rng = random.Random(seed)
    decoders: dict[str, Callable[[bytes], Any]] = {
        "link": lambda body: decode_link_message(body, received_at=RECEIVED),
        "task": decode_task,
        "result": decode_result,
    }
    whole = [golden["wire"] for golden in GOLDEN if golden["kind"] == kind]
    outcomes = {"read": 0, "rejected": 0}
    for number in range(10_000):
        body = mutated(whole[number % len(whole)], rng)
        try:
            message = decoders[kind](body)
        except RejectedMessageError as rejection:
            outcomes["rejected"] += bool(rejection.field and rejection.problem)
        else:
            assert storable(message)
            outcomes["read"] += 1
    assert sum(outcomes.values()) == 10_000
    assert min(outcomes.values()) > 1000, f"{outcomes}: the mutations are too weak or too strong to prove anything"


def storable(message: Any) -> bool:
    """Whether every store keeps it: JSON without NULs and lone surrogates, all times aware."""
    text = json.dumps(msgspec.to_builtins(message), ensure_ascii=False, allow_nan=False)
    text.encode()
    times = [message.timestamp] if hasattr(message, "timestamp") else []
    return "\\u0000" not in text.replace("\\\\", "") and all(time.tzinfo is UTC for time in times)
