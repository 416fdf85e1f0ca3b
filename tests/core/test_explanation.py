"""An explanation tells everything a verdict rests on, in words, and steers no terminal."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import (
    Answer,
    Axes,
    EvidenceKind,
    Expect,
    MatchTier,
    Met,
    Outcome,
    Prevention,
    Reason,
)
from checking_core.matching.judge import judge, met_of, status_of
from checking_core.matching.tiers import RANK
from checking_core.report import (
    Explanation,
    GivenVerdict,
    ReportedEvidence,
    ReportedNearMiss,
    Rival,
    TakenLook,
    changes,
    explanation,
    to_json,
    to_text,
    why,
)
from checking_core.report.changes import _IF_NEAR
from checking_core.report.why import MEANING, TIED
from checking_core.report.words import NEAR

from .reports import HOSTILE, NOW, PENDING, ROOT, check, execution, operation

STARTED = execution().started_at


def explained(about: dict[str, Any] | None = None, **fields: Any) -> Explanation:
    told: dict[str, Any] = {
        "generated_at": NOW,
        "operation": operation(),
        "execution": execution(),
        "pid": 4242,
        "check": check(**(about or {})),
        "config": {"alert": {"rule": "LSASS dump"}, "expect": "alerted"},
        "query_sent": "alert: rule='LSASS dump'\ntelemetry: EventCode=1",
        "searched_from": STARTED - timedelta(seconds=30),
        "searched_to": STARTED + timedelta(seconds=900),
        "source": "siem",
        "looks": (),
        "earlier": (),
        "rivals": (),
        "warnings": (),
    }
    return Explanation(**{**told, **fields})


def section(text: str, title: str) -> list[str]:
    """The lines of a part of the text."""
    found = re.search(rf"^{re.escape(title)}.*\n((?:  .*\n)+)", text, re.MULTILINE)
    return [line.strip() for line in found[1].splitlines()] if found else []


MISSED: dict[str, Any] = {
    "outcome": Outcome.NO_ALERT,
    "met": Met.NO,
    "reason": Reason.ALERT_OTHER_HOST,
    "axes": Axes(alert=Answer.NO),
    "time_to_detect_s": None,
    "near_misses": {"alert_other_host": 12, "alert_outside_window": 1},
    "nearest": (
        ReportedNearMiss(
            kind=EvidenceKind.ALERT,
            id="7",
            reason=Reason.ALERT_OTHER_HOST,
            title="LSASS dump",
            host="ws02",
            event_at=STARTED - timedelta(seconds=41),
        ),
        ReportedNearMiss(
            kind=EvidenceKind.ALERT,
            id="8",
            reason=Reason.ALERT_OUTSIDE_WINDOW,
            event_at=STARTED + timedelta(hours=3),
        ),
    ),
}


# --- the text ------------------------------------------------------------------------------------------------------


def test_the_headline_comes_first_and_the_check_can_be_named_again() -> None:
    first, second, *_ = to_text(explained(MISSED)).splitlines()
    assert first == "lsass @ siem: no_alert (alert_other_host); wanted alerted, NOT met"
    assert second.startswith("check ")


def test_near_misses_are_told_with_reason_host_and_distance_and_those_not_kept_are_counted() -> None:
    told = section(to_text(explained(MISSED)), "Near misses (13)")
    assert told == [
        "12 of another host, 1 outside the window",
        "alert 7, 'LSASS dump', ws02, 41 s before it began: of another host",
        "alert 8, 3 h after it ended: outside the window",
        "and 11 more",
    ]


def test_evidence_is_told_with_its_tier_and_the_fields_that_tie_it() -> None:
    proof = ReportedEvidence(
        kind=EvidenceKind.ALERT,
        id="7",
        title="LSASS dump",
        severity="high",
        host="ws01",
        tier=MatchTier.PROCESS,
        matched=("host", "pid"),
        url="https://siem.example/7",
    )
    told = to_text(explained({"evidence": (proof,)}))
    assert section(told, "Evidence (1)") == [
        "alert 7, 'LSASS dump', high, ws01, process: host, pid, https://siem.example/7"
    ]


def test_what_was_asked_is_told_as_written_and_as_sent() -> None:
    told = section(to_text(explained()), "Asked")
    assert told == [
        "alert: rule: LSASS dump",
        "expect: alerted",
        "searched: 2026-01-15 09:09:30Z to 2026-01-15 09:25:00Z",
        "sent: alert: rule='LSASS dump'",
        "sent: telemetry: EventCode=1",
    ]


def test_looks_and_earlier_verdicts_are_told() -> None:
    looks = (
        TakenLook(look=1, at=NOW, outcome=Outcome.INCONCLUSIVE, reason=Reason.DEADLINE_NOT_REACHED, final=False),
        TakenLook(look=2, at=NOW, outcome=Outcome.ALERTED, reason=Reason.MATCHED_ALERT),
    )
    earlier = GivenVerdict(
        outcome=Outcome.NONE, reason=Reason.NO_TELEMETRY, met=Met.NO, look=1, source="siem", created_at=NOW
    )
    told = to_text(explained(looks=looks, earlier=(earlier,)))
    assert section(told, "Looks") == [
        "1: 2026-01-15 10:00:00Z inconclusive (deadline_not_reached), asked again",
        "2: 2026-01-15 10:00:00Z alerted (matched_alert)",
    ]
    assert section(told, "Earlier verdicts") == [
        "2026-01-15 10:00:00Z none (no_telemetry), NOT met, by look 1 of siem",
    ]


def test_the_way_of_an_alert_is_told_step_by_step() -> None:
    way = {"event_at": 1, "indexed_at": 5, "alert_at": 12, "seen_at": 61}
    told = to_text(explained({name: STARTED + timedelta(seconds=after) for name, after in way.items()}))
    assert section(told, "Times") == [
        "after 2026-01-15 09:10:00Z: event +1 s, indexed +5 s, alert created +12 s, seen by us +61 s",
        "time to detect: 12 s",
    ]


def test_of_a_proven_miss_it_is_told_how_long_no_alert_came() -> None:
    looks = (TakenLook(look=1, at=STARTED + timedelta(seconds=1300)),)
    told = to_text(explained({**MISSED, "censored": True, "seen_at": NOW}, looks=looks))
    assert section(told, "Times") == ["time to detect: more than 1300 s"]


def test_who_else_claims_a_record_is_told() -> None:
    rival = Rival(
        record_id="7",
        tier=MatchTier.PROCESS,
        own_tier=MatchTier.NAMED_RULE,
        check_id=uuid5(ROOT, "rival"),
        operation_id=ROOT,
        agent_host="ws01",
        procedure_name="Who am I",
        command="whoami",
        started_at=NOW,
    )
    told = to_text(explained({"ambiguous": True}, rivals=(rival,)))
    (line,) = section(told, "Also claimed by")
    assert line.startswith("7: Who am I on ws01 at 2026-01-15 10:00:00Z (process, here named_rule), ")
    assert any("marker" in text for text in section(told, "What would change it"))


def test_what_there_is_nothing_of_has_no_heading() -> None:
    told = to_text(explained({"time_to_detect_s": None}, query_sent=None, config={}, searched_from=None))
    for title in ("Asked", "Looks", "Evidence", "Near misses", "Also claimed by", "Times", "Earlier", "Notes"):
        assert f"\n{title}" not in told, title


def test_hostile_text_stays_text_on_its_line() -> None:
    near = ReportedNearMiss(
        kind=EvidenceKind.ALERT, id=HOSTILE, reason=Reason.ALERT_OTHER_HOST, title=HOSTILE, host=HOSTILE
    )
    proof = ReportedEvidence(kind=EvidenceKind.ALERT, id=HOSTILE, title=HOSTILE, rule=HOSTILE, url=HOSTILE)
    about = {**MISSED, "nearest": (near,), "evidence": (proof,), "note": HOSTILE, "backend": HOSTILE}
    hostile = execution(agent_host=HOSTILE, procedure_name=HOSTILE, command=HOSTILE * 1000)
    told = explained(
        about,
        execution=hostile,
        operation=operation(name=HOSTILE),
        query_sent=HOSTILE,
        config={"alert": {"rule": HOSTILE}},
    )
    text = to_text(told)
    assert text.replace("\n", "").isprintable()
    assert max(map(len, text.splitlines())) < 20_000
    titles = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert not any("script" in line for line in titles[1:])


def test_json_gives_back_the_same_explanation() -> None:
    told = explained(MISSED)
    assert msgspec.json.decode(to_json(told), type=Explanation) == told
    assert json.loads(to_json((told, told)))[1]["check"]["outcome"] == "no_alert"


def test_every_key_of_an_explanation_is_documented() -> None:
    document = (Path(__file__).parents[2] / "docs/reference/report.md").read_text(encoding="utf-8")
    kinds = [getattr(explanation, name) for name in explanation.__all__]
    names = {field for kind in kinds for field in kind.__struct_fields__}
    assert {name for name in names if f"`{name}`" not in document} == set()


# --- why, and what would change it ---------------------------------------------------------------------------------


def test_every_reason_and_tier_has_words() -> None:
    assert set(MEANING) == set(Reason)
    assert set(TIED) == set(RANK)


def test_every_reason_of_a_near_miss_has_words_and_advice() -> None:
    """Those that matching gives: what is wrong with a record, not with an answer."""
    assert set(NEAR) == set(_IF_NEAR)
    assert set(NEAR) <= set(Reason)


answers = st.sampled_from(list(Answer))
all_axes = st.builds(
    Axes,
    prevention=st.sampled_from(list(Prevention)),
    alert=answers,
    rule=answers,
    telemetry=answers,
    alive=answers,
)


@given(
    axes=all_axes,
    proven=st.booleans(),
    given_reason=st.sampled_from([None, *Reason]),
    expect=st.sampled_from(list(Expect)),
    flags=st.sets(st.sampled_from(["late", "ambiguous", "in_control_window", "tooling", "overridden", "censored"])),
)
def test_every_verdict_that_can_be_given_is_explained(
    axes: Axes, proven: bool, given_reason: Reason | None, expect: Expect, flags: set[str]
) -> None:
    verdict = judge(axes, proven=proven, reason=given_reason)
    met, reason = met_of(expect, verdict.outcome, verdict.axes)
    about = {
        "outcome": verdict.outcome,
        "reason": reason or verdict.reason,
        "axes": verdict.axes,
        "met": met,
        "expect": expect,
        **dict.fromkeys(flags, True),
    }
    told = explained(about)
    sentences = [*why(told.check), *changes(told)]
    assert all(text[0].isalpha() and text.endswith((".", "?")) for text in sentences), sentences
    assert len(set(sentences)) == len(sentences)
    assert len(why(told.check)) >= 1 + len(flags - {"censored"})


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.PENDING}))
def test_every_outcome_is_explained_even_without_answers(outcome: Outcome) -> None:
    about = {"outcome": outcome, "axes": Axes(), "reason": None, "status": status_of(outcome)}
    assert why(check(**about))
    assert changes(explained(about))


def test_an_alert_is_not_called_as_firmly_tied_as_the_trace_behind_it() -> None:
    evidence = (
        ReportedEvidence(kind=EvidenceKind.ALERT, id="1", tier=MatchTier.NAMED_RULE),
        ReportedEvidence(kind=EvidenceKind.EVENT, id="2", tier=MatchTier.PROCESS),
    )
    first, *_ = why(check(match_tier=MatchTier.PROCESS, evidence=evidence))
    assert first.endswith("tied to it by host and the rule that was named.")


def test_an_open_check_tells_when_it_is_asked_and_when_a_no_is_possible() -> None:
    told = why(check(**PENDING, next_look_at=NOW))
    assert told == [
        "It is asked next at 2026-01-15 10:00:00Z.",
        "A no can be proven from 2026-01-15 10:00:00Z on.",
    ]
    assert changes(explained({**PENDING, "time_to_detect_s": None})) == ["The next look."]


def test_a_miss_names_the_rule_the_host_and_the_time_that_would_change_it() -> None:
    first, *more = changes(explained(MISSED))
    assert first == (
        "An alert of the rule 'LSASS dump', of what happened on ws01"
        " between 2026-01-15 09:09:30Z and 2026-01-15 09:25:00Z."
    )
    assert any("match.aliases" in text and "ws02" in text for text in more)
    assert any("checking retry" in text for text in more)


def test_an_outage_names_its_remedy_and_asks_again() -> None:
    away = {"outcome": Outcome.INCONCLUSIVE, "reason": Reason.BACKEND_AUTH_FAILED, "met": Met.UNKNOWN, "axes": Axes()}
    remedy, again = changes(explained(away))
    assert remedy == "Check the credentials: checking plugins show siem."
    assert again.startswith("Something new in the backend: checking retry ")


def test_an_absence_without_a_sign_of_life_asks_for_one() -> None:
    about = {"outcome": Outcome.INCONCLUSIVE, "reason": Reason.NO_TELEMETRY, "axes": Axes(telemetry=Answer.NO)}
    assert "alive" in changes(explained(about))[0]


def test_a_censored_miss_says_how_long_nothing_came() -> None:
    assert any("longer than that" in text for text in why(check(**{**MISSED, "censored": True})))
