"""Recordings and the rules of a technique: what a check is asked of, and which time counts."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from checking_core.contracts import Answer, Outcome, Reason
from checking_core.testing import STARTED, a_task
from checking_core.worker.run_task import run_task

from .rules_and_events import ID, rule_text
from .site import CREATION, WORKER, ask, evidence_of, start

RECORDED = {"UtcTime": "2020-10-18 23:50:05.910", "Computer": "WORKSTATION5"}
TARGET = {"sigma": "lsass.yml", "target": {"host": "workstation5"}}


async def test_a_recording_is_replayed_onto_the_execution_and_says_so(site):
    site.write(start(**RECORDED | {"UtcTime": "2020-10-18 23:50:04.910"}, CommandLine="x"), start(**RECORDED))
    assert (await ask(site.detector(), detection_config=TARGET)).reason is Reason.SOURCE_SILENT
    result = await ask(site.detector(replay=True), detection_config=TARGET)
    record = evidence_of(result)
    assert (result.outcome, record.event_at) == (Outcome.MATCHED, STARTED + timedelta(seconds=1))
    assert record.fields["sigma"]["replayed"]["recorded_at"] == "2020-10-18T23:50:05.910000+00:00"
    own = await ask(site.detector(), detection_config=TARGET | {"replay": True})
    assert own.outcome is Outcome.MATCHED


async def test_two_executions_share_no_answer_about_a_replayed_recording(site):
    site.write(start(**RECORDED))
    detector = site.detector(replay=True)
    later = STARTED + timedelta(minutes=3)
    found = [
        await run_task(detector, a_task(1, detection_config=TARGET), WORKER),
        await run_task(detector, a_task(2, detection_config=TARGET, started_at=later, finished_at=later), WORKER),
    ]
    await detector.close()
    assert [evidence_of(result).event_at for result in found] == [STARTED, later]


async def test_an_operation_that_was_recorded_with_its_telemetry_is_replayed_as_a_whole(site):
    site.write(start(**RECORDED | {"UtcTime": "2020-10-18 23:50:04.910"}, CommandLine="x"), start(**RECORDED))
    onto = STARTED - timedelta(seconds=1)
    detector = site.detector(replay_onto=onto)
    later = STARTED + timedelta(minutes=30)
    found = [
        await run_task(detector, a_task(1, detection_config=TARGET), WORKER),
        await run_task(detector, a_task(2, detection_config=TARGET, started_at=later, finished_at=later), WORKER),
    ]
    await detector.close()
    assert [result.outcome for result in found] == [Outcome.MATCHED, Outcome.INCONCLUSIVE]
    assert evidence_of(found[0]).event_at == STARTED
    assert (await ask(site.detector(replay_onto=onto), detection_config=TARGET | {"replay": False})).reason is (
        Reason.SOURCE_SILENT
    )


async def test_a_check_may_name_the_files_that_are_asked(site, tmp_path):
    (tmp_path / "other.jsonl").write_text(json.dumps(start(0, CommandLine="whoami")) + "\n")
    site.write(start())
    both = (str(site.log), str(tmp_path / "other.jsonl"))
    asked = {name: {"sigma": "lsass.yml", "files": name} for name in ("log*", "other*", "none*")}
    found = {name: await ask(site.detector(events=both), detection_config=config) for name, config in asked.items()}
    assert {name: result.rule for name, result in found.items()} == {
        "log*": Answer.YES,
        "other*": Answer.NO,
        "none*": Answer.NOT_ASKED,
    }
    assert found["none*"].reason is Reason.BACKEND_UNREACHABLE


@pytest.mark.parametrize(
    ("tag", "rules"),
    [
        ("attack.t1003.001", {"sub"}),
        ("attack.t1003", {"sub", "parent"}),
        ("ATTACK.T1685.005", {"renamed"}),
        ("attack.t1070.001", {"renamed"}),
    ],
)
async def test_the_tag_of_a_technique_means_its_rules(tag, rules, site):
    for name, technique in (("sub", "t1003.001"), ("parent", "t1003"), ("renamed", "t1685.005"), ("other", "t1059")):
        logic = {"CommandLine|contains": "MiniDump"}
        text = rule_text(logic, title=name, logsource=CREATION, tags=[f"attack.{technique}"])
        site.rule(text.replace(ID, f"{ID[:-4]}{len(name):04}"), f"{name}.yml")
    site.write(start())
    result = await ask(site.detector(), detection_config={"sigma": tag})
    assert {record.rule for record in result.parsed_results.evidence} == rules


AUDIT = {"product": "windows", "service": "security"}
TAGGED = {
    "refused": ({"CommandLine|expand": "%x%"}, CREATION),
    "has nothing to look at": ({"CommandLine": "x"}, AUDIT),
    "is of another system": ({"CommandLine": "x"}, {"product": "linux", "category": "process_creation"}),
}


@pytest.mark.parametrize(
    ("other", "outcome", "reason"),
    [
        ("refused", Outcome.INCONCLUSIVE, Reason.NOT_CONVERTIBLE),
        ("has nothing to look at", Outcome.INCONCLUSIVE, Reason.NO_TELEMETRY),
        ("is of another system", Outcome.NO_ALERT, Reason.DEADLINE_PASSED),
    ],
)
async def test_a_technique_is_missed_only_if_every_rule_of_it_could_have_hit(other, outcome, reason, site):
    selection, logsource = TAGGED[other]
    own = rule_text(selection, title=other, logsource=logsource, id=ID.replace("1", "2"))
    site.rule(own, "other.yml")
    site.write(start(CommandLine="whoami"))
    result = await ask(site.detector(), detection_config={"sigma": "attack.t1059"})
    assert (result.outcome, result.reason) == (outcome, reason)
    told = " ".join(result.result_metadata.get("warnings", ()))
    assert (other in told) is (outcome is Outcome.INCONCLUSIVE)
    observed = await ask(site.detector(), detection_config={})
    assert observed.outcome is Outcome.NO_ALERT, "what observes claims nothing of any single rule"


async def test_a_technique_is_matched_whatever_its_other_rules_could_not_do(site):
    for name, (selection, logsource) in TAGGED.items():
        site.rule(rule_text(selection, title=name, logsource=logsource), f"{name}.yml")
    site.write(start())
    result = await ask(site.detector(), detection_config={"sigma": "attack.t1059"})
    assert result.outcome is Outcome.MATCHED
    assert "1 refused" in result.query_sent


async def test_a_technique_of_which_every_rule_is_refused_cannot_be_asked(site):
    site.rule(rule_text(*TAGGED["refused"][:1], tags=["attack.t1566.001"]), "refused.yml")
    result = await ask(site.detector(), detection_config={"sigma": "attack.t1566"})
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_CONVERTIBLE)
