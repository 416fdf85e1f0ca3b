"""What a plugin hands over becomes fit to travel, to be stored and to be shown; or it is an error of the plugin."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr
from pydantic_settings import BaseSettings

from checking_core.contracts import (
    Answer,
    DetectionTask,
    Evidence,
    EvidenceKind,
    Outcome,
    Prevention,
    Reason,
    encode,
)
from checking_core.errors import (
    BackendAuthFailedError,
    BackendUnreachableError,
)
from checking_core.plugin import Finding
from checking_core.testing import ENDED, FakeDetector, a_task
from checking_core.worker.boundary import Limits, capped
from checking_core.worker.run_task import run_task

from .asking import SETTINGS, result_of


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "alerted",
        {"alert": "yes"},
        Finding,
        Finding(alert="perhaps"),
        Finding(alert=Answer.YES, evidence=({"id": 1},)),
        Finding(alert=Answer.YES, evidence=(Evidence(kind=EvidenceKind.ALERT, id="1", fields={"x": object()}),)),
        Finding(alert=Answer.YES, alert_at=datetime(2026, 1, 1)),  # noqa: DTZ001
        Finding(alert=Answer.YES, alert_at=ENDED.replace(year=1601)),
        Finding(alert=Answer.YES, warnings=7),
    ],
    ids=[
        "nothing",
        "text",
        "a dict",
        "a class",
        "no answer",
        "evidence of no kind",
        "fields of no JSON",
        "a naive time",
        "a time out of reach",
        "warnings of no kind",
    ],
)
async def test_nonsense_is_an_error_of_the_plugin(nonsense):
    async def answer(_: DetectionTask) -> Any:
        return nonsense

    result = await result_of(answer)
    assert (result.outcome, result.reason, result.final) == (Outcome.INCONCLUSIVE, Reason.PLUGIN_ERROR, True)


def nested(depth: int) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "raw",
    [object(), {1, "a", object()}, nested(20_000), {("a", 1): 2}, 10**5000, "\ud800", float("nan"), b"\xff\x00"],
    ids=["object", "set", "deep", "odd keys", "long number", "surrogate", "no number", "bytes"],
)
async def test_a_raw_answer_of_any_kind_costs_no_verdict(raw):
    result = await result_of(Finding(alert=Answer.YES, raw_response=raw))
    assert result.outcome is Outcome.ALERTED


async def test_a_huge_raw_answer_keeps_its_beginning_its_size_and_its_hash():
    raw = {"text": 'a "quoted" \\ line\n' * 200_000}
    full = encode(raw)
    kept = (await result_of(Finding(alert=Answer.YES, raw_response=raw))).raw_response
    assert (kept["truncated"], kept["size"]) == (True, len(full))
    assert kept["sha256"] == hashlib.sha256(full).hexdigest()
    assert full.decode().startswith(kept["head"])
    assert len(encode(kept)) <= Limits().raw_response


@given(raw=st.recursive(st.text() | st.integers() | st.binary(), lambda inner: st.lists(inner) | st.tuples(inner)))
def test_a_raw_answer_is_never_larger_than_allowed(raw):
    assert len(encode(capped(raw, 500))) <= 500


async def test_evidence_that_fits_in_no_message_loses_its_fields_first():
    records = tuple(
        Evidence(kind=EvidenceKind.ALERT, id=str(number), title="hit", fields={"blob": "x" * 20_000})
        for number in range(100)
    )
    result = await result_of(Finding(alert=Answer.YES, evidence=records))
    assert len(result.parsed_results["evidence"]) == 100
    assert result.result_metadata["left_out"] == "evidence fields"


async def test_a_verdict_survives_evidence_that_no_message_can_carry():
    record = Evidence(kind=EvidenceKind.ALERT, id="1", title="x" * 2_000_000)
    result = await result_of(Finding(alert=Answer.YES, evidence=(record,)))
    assert (result.outcome, result.parsed_results["evidence"]) == (Outcome.ALERTED, [])
    assert "evidence" in result.result_metadata["left_out"]


async def test_text_that_no_store_can_keep_is_cleaned():
    record = Evidence(kind=EvidenceKind.ALERT, id="1", title="nul \x00, half \ud800", fields={"\x00": ["\x00"]})
    result = await run_task(FakeDetector([Finding(alert=Answer.YES, evidence=(record,))]), a_task(), SETTINGS)
    assert b"\\u0000" not in encode(result)
    assert result.parsed_results.evidence[0].title == "nul \ufffd, half \ufffd"


async def test_a_raw_answer_that_is_nested_beyond_honest_use_is_kept_as_text():
    kept = (await result_of(Finding(alert=Answer.YES, raw_response=nested(40)))).raw_response
    assert kept["truncated"]
    assert kept["head"].startswith("[[[")


class Credentials(BaseSettings):
    password: SecretStr = SecretStr("hunter2")
    key: SecretBytes = SecretBytes(b"0xsecret")
    proxies: dict[str, SecretStr] = {"web": SecretStr("proxy-pass")}
    tokens: list[SecretStr] = [SecretStr("hunter2-long"), SecretStr("")]


class SecretDetector(FakeDetector):
    Settings: ClassVar[type[BaseSettings]] = Credentials

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.settings = Credentials()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("login with hunter2 refused", "login with *** refused"),
        ("token hunter2-long is old", "token *** is old"),
        ("key 0xsecret, proxy proxy-pass", "key ***, proxy ***"),
        ("cannot reach https://bob:pa55@siem:8089/x", "cannot reach https://***@siem:8089/x"),
    ],
)
async def test_an_error_text_holds_no_secret(text, shown):
    for error in (BackendAuthFailedError(text), RuntimeError(text)):
        result = await result_of(detector=SecretDetector([error]))
        assert result.result_metadata["error"] == shown


async def test_warnings_and_failed_attempts_hold_no_secret_either():
    script = [BackendUnreachableError("hunter2"), Finding(alert=Answer.YES, warnings=("hunter2",))]
    metadata = (await result_of(detector=SecretDetector(script))).result_metadata
    assert (metadata["failed_attempts"], metadata["warnings"]) == (["***"], ["***"])


async def test_an_error_text_is_cut():
    error = (await result_of(RuntimeError("x" * 10_000_000))).result_metadata["error"]
    assert len(error) == Limits().text


findings = st.builds(
    Finding,
    prevention=st.sampled_from(Prevention) | st.text(max_size=3),
    alert=st.sampled_from(Answer) | st.none(),
    rule=st.sampled_from(Answer),
    telemetry=st.sampled_from(Answer),
    alive=st.sampled_from(Answer),
    complete=st.booleans() | st.integers(),
    reason=st.none() | st.sampled_from(Reason) | st.text(max_size=3),
    raw_response=st.recursive(st.none() | st.text() | st.floats(), st.lists),
    query_sent=st.none() | st.text(),
    event_at=st.none() | st.datetimes(),
    warnings=st.lists(st.text(), max_size=3).map(tuple),
)


@given(finding=findings, deadline_passed=st.booleans())
async def test_every_finding_sound_or_not_becomes_a_result(finding, deadline_passed):
    result = await result_of(finding, deadline_passed=deadline_passed)
    assert result.outcome is not None
