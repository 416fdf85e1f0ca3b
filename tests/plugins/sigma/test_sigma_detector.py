"""The detector: what its matches prove."""

from __future__ import annotations

from datetime import timedelta

import pytest

from checking_core.contracts import (
    Answer,
    EvidenceKind,
    MatchTier,
    Outcome,
    Reason,
)
from checking_core.errors import ConfigurationError
from checking_core.plugin import PluginHost
from checking_core.settings import BackendSettings
from checking_core.testing import STARTED, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_sigma.settings import SigmaSettings

from .rules_and_events import ID, rule_text
from .site import COMMAND, CREATION, SECURITY, SYSMON, WORKER, ask, evidence_of, start


async def test_a_hit_of_the_execution_is_matched_with_all_that_proves_it(site):
    site.write(start(-3600, CommandLine="other"), start())
    result = await ask(site.detector())
    assert (result.outcome, result.reason, result.rule) == (Outcome.MATCHED, Reason.MATCHED_RULE, Answer.YES)
    assert (result.alert, result.final) == (Answer.NOT_ASKED, True)
    record = evidence_of(result)
    assert (record.kind, record.tier, record.event_at) == (EvidenceKind.MATCH, MatchTier.PROCESS, STARTED)
    assert record.title == "LSASS dump (rule by An Author)"
    assert record.fields["CommandLine"] == COMMAND
    told = record.fields["sigma"]
    assert (told["file"], told["line"], told["channel"]) == ("log.jsonl", 2, SYSMON)
    names = ("id", "title", "author", "level", "file", "tags")
    assert [told["rule"][name] for name in names] == [
        ID,
        "LSASS dump",
        "An Author",
        "high",
        "lsass.yml",
        ["attack.execution", "attack.t1059.001"],
    ]
    assert len(told["sha256"]) == len(told["rule"]["sha256"]) == 64
    assert "LSASS dump (product windows, category process_creation)" in result.query_sent


async def test_a_host_name_is_no_wildcard(site):
    site.write(
        start(Computer="a*b", CommandLine="MiniDump"), start(Computer="axb", CommandLine="MiniDump", ProcessId=1)
    )
    query = "{Computer: ${agent_host}}"
    result = await ask(site.detector(), detection_config={"query": query}, agent_host="a*b")
    assert [record.host for record in result.parsed_results.evidence] == ["a*b"]
    assert result.parsed_results.near_misses == ()


async def test_a_trace_without_a_hit_is_logged(site):
    site.write(start())
    config = {"sigma": rule_text({"CommandLine": "other"}, logsource=CREATION), "telemetry": {"query": "'comsvcs'"}}
    result = await ask(site.detector(), detection_config=config)
    assert result.outcome is Outcome.LOGGED
    assert evidence_of(result).kind is EvidenceKind.EVENT


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"Computer": "dc01.corp.example"}, Reason.ALERT_OTHER_HOST),
        ({"UtcTime": (STARTED - timedelta(seconds=40)).replace(tzinfo=None).isoformat()}, Reason.ALERT_OUTSIDE_WINDOW),
    ],
)
async def test_a_hit_elsewhere_or_at_another_time_is_a_near_miss(site, event, reason):
    site.write(start(CommandLine="whoami", ProcessId=1), start(**event))
    timing = {"before_reported_time": 120}
    result = await ask(site.detector(), detection_config={"sigma": "lsass.yml", **timing}, timing=None)
    assert (result.outcome, [miss.reason for miss in result.parsed_results.near_misses]) == (Outcome.NO_ALERT, [reason])


WILD = ["0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00", "1601-01-01T00:00:00Z", "9999-12-31 23:59:59"]


@pytest.mark.parametrize("event", [*({"UtcTime": time} for time in WILD), {"__REALTIME_TIMESTAMP": "9" * 30}])
@pytest.mark.parametrize("replay", [True, False])
async def test_one_event_of_a_wild_time_spoils_no_other(site, event, replay):
    site.write(start(), start(CommandLine="whoami", ProcessId=1) | event, {"Computer": "ws01"} | event)
    assert (await ask(site.detector(replay=replay))).outcome is Outcome.MATCHED


@pytest.mark.parametrize("time", WILD)
async def test_a_hit_of_a_wild_time_is_one_of_unknown_time(site, time):
    site.write(start(CommandLine="whoami", ProcessId=1), start(UtcTime=time))
    result = await ask(site.detector())
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.ALERT_FIELDS_INCOMPLETE)


async def test_an_event_of_unknown_time_is_neither_dropped_nor_accepted(site):
    unknown = start(UtcTime=None, EventTime=STARTED.replace(tzinfo=None).isoformat(sep=" "))
    site.write(start(CommandLine="whoami", ProcessId=1), unknown)
    result = await ask(site.detector())
    assert (result.outcome, result.rule) == (Outcome.INCONCLUSIVE, Answer.UNKNOWN)
    assert [miss.reason for miss in result.parsed_results.near_misses] == [Reason.ALERT_FIELDS_INCOMPLETE]
    assert (await ask(site.detector(time_zone="UTC"))).outcome is Outcome.MATCHED


async def test_sysmon_and_security_record_one_action(site):
    security = start(
        1, Channel=SECURITY, EventID=4688, NewProcessName=start()["Image"], NewProcessId="0x1092", ProcessId="0x1"
    )
    site.write(security, start())
    record = evidence_of(await ask(site.detector()))
    assert record.fields["sigma"]["recorded_again_at"] == [{"file": "log.jsonl", "line": 2, "channel": SYSMON}]


async def test_one_log_that_records_two_starts_has_seen_two(site):
    site.write(start(), start(1))
    assert len((await ask(site.detector())).parsed_results.evidence) == 2


async def test_security_without_a_known_time_belongs_to_the_start_that_sysmon_dates(site):
    security = start(
        UtcTime=None, Channel=SECURITY, EventID=4688, NewProcessName=start()["Image"], NewProcessId="0x1092"
    )
    site.write(security, start())
    record = evidence_of(await ask(site.detector()))
    assert (record.event_at, record.fields["sigma"]["line"]) == (STARTED, 2)


async def test_a_start_that_only_a_collector_dates_belongs_to_no_start_of_another_day(site):
    security = start(
        UtcTime=None, Channel=SECURITY, EventID=4688, NewProcessName=start()["Image"], NewProcessId="0x1092"
    )
    site.write(start(-86_400), security | {"EventTime": STARTED.replace(tzinfo=None).isoformat(sep=" ")})
    record = evidence_of(await ask(site.detector(time_zone="UTC")))
    assert (record.event_at, record.fields["sigma"]["line"]) == (STARTED, 2)


async def test_the_times_of_a_collector_that_its_file_contradicts_are_unknown(site):
    wrong = STARTED.isoformat()  # what it calls UTC is four hours off, as the event of Sysmon shows
    lying = start(4 * 3600, EventID=3, **{"@timestamp": wrong})
    site.write(start(UtcTime=None, **{"@timestamp": wrong}), lying, start(0, CommandLine="whoami", ProcessId=1))
    result = await ask(site.detector())
    assert (result.outcome, result.rule) == (Outcome.INCONCLUSIVE, Answer.UNKNOWN)


async def test_what_is_written_after_a_look_is_seen_by_the_next(site):
    site.write(start(-5, CommandLine="whoami", ProcessId=1))
    detector = site.detector()
    detector.share_for = 0.0
    first = await run_task(detector, a_task(detection_config={"sigma": "lsass.yml"}, deadline_passed=False), WORKER)
    site.write(start())
    second = await run_task(detector, a_task(detection_config={"sigma": "lsass.yml"}, look=2), WORKER)
    await detector.close()
    assert ([first.final, first.outcome], [second.final, second.outcome]) == (
        [False, Outcome.INCONCLUSIVE],
        [True, Outcome.MATCHED],
    )


async def test_what_is_written_into_a_file_that_was_emptied_is_seen_by_the_next_look(site):
    site.write(start(-5, CommandLine="whoami", ProcessId=1), start(-4, CommandLine="whoami", ProcessId=2))
    detector = site.detector()
    detector.share_for = 0.0
    await run_task(detector, a_task(detection_config={"sigma": "lsass.yml"}, deadline_passed=False), WORKER)
    site.log.write_text("")
    site.write(start(), *(start(number, CommandLine="whoami", ProcessId=1) for number in range(5)))
    second = await run_task(detector, a_task(detection_config={"sigma": "lsass.yml"}, look=2), WORKER)
    await detector.close()
    assert second.outcome is Outcome.MATCHED


async def test_without_a_question_the_whole_folder_is_observed(site):
    site.rule(rule_text({"Image|endswith": "rundll32.exe"}, title="Rundll32", id=ID.replace("1", "2")), "more.yml")
    site.rule("title: C\ncorrelation: {type: event_count}\n", "correlation.yml")
    site.write(start())
    result = await ask(site.detector(), detection_config={})
    assert result.outcome is Outcome.MATCHED
    assert sorted(record.rule for record in result.parsed_results.evidence) == ["LSASS dump", "Rundll32"]
    assert "2 rules, 1 refused" in result.query_sent


async def test_a_changed_rule_is_read_again(site):
    site.write(start())
    detector = site.detector()
    detector.share_for = 0.0
    first = await run_task(detector, a_task(detection_config={"sigma": "lsass.yml"}), WORKER)
    site.rule(rule_text({"CommandLine": "something else"}, logsource=CREATION), "lsass.yml")
    second = await run_task(detector, a_task(detection_config={"sigma": "lsass.yml"}, look=2), WORKER)
    await detector.close()
    assert [first.outcome, second.outcome] == [Outcome.MATCHED, Outcome.NO_ALERT]


async def test_no_file_is_an_outage(site):
    result = await ask(site.detector(events=(str(site.log.parent / "nothing"),)))
    assert (result.outcome, result.reason, result.final) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE, False)


async def test_rules_that_are_not_where_the_setting_says_are_an_outage_that_says_so(site, tmp_path):
    site.write(start())
    result = await ask(site.detector(rules=tmp_path / "ruels"))
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert "ruels is neither a rule nor a folder of rules" in result.result_metadata["error"]


async def test_an_alert_is_nothing_that_a_rule_of_ours_can_raise(site):
    result = await ask(site.detector(), detection_config={"alert": {"rule": "LSASS dump"}})
    assert (result.outcome, result.reason) == (Outcome.NOT_APPLICABLE, Reason.CAPABILITY_MISSING)


async def test_the_self_check_counts_files_and_rules(site):
    site.rule("title: C\ncorrelation: {type: event_count}\n", "correlation.yml")
    healthy = await site.detector().self_check()
    assert (healthy.ok, healthy.detail) == (True, "1 files of telemetry, 1 rules, 1 refused")
    assert (await site.detector(rules=None).self_check()).ok is False
    assert (await site.detector(events=("nothing",)).self_check()).ok is False
    assert (await site.detector(events=()).self_check()).ok is None


def test_settings_come_from_the_environment(monkeypatch, site):
    monkeypatch.setenv("CHECKING_SIGMA_EVENTS", f"{site.log}:{site.log.parent}/*.evtx")
    monkeypatch.setenv("CHECKING_SIGMA_TIME_ZONE", "America/New_York")
    monkeypatch.setenv("CHECKING_SIGMA_LOGSOURCES", '{"*.web": {"category": "webserver"}}')
    detector = PluginHost.load().create("sigma", BackendSettings(plugin="sigma"))
    assert isinstance(detector.settings, SigmaSettings)
    assert detector.settings.events == (str(site.log), f"{site.log.parent}/*.evtx")
    assert str(detector.settings.time_zone) == "America/New_York"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TIME_ZONE", "Middle/Earth", "TIME_ZONE: is no time zone"),
        ("LOGSOURCES", '{"x": {"produkt": "y"}}', "logsources"),
        ("EVENTS", "[", "EVENTS: begins like a JSON list and is none"),
        ("EVENTS", "[1]", "EVENTS: begins like a JSON list and is none"),
        ("REPLAY_ONTO", "yesterday", "REPLAY_ONTO: is no date and time with its zone"),
        ("REPLAY_ONTO", "2026-01-01 12:00:00", "REPLAY_ONTO: is no date and time with its zone"),
    ],
)
def test_a_wrong_setting_is_a_configuration_error_in_words(monkeypatch, variable, value, words):
    monkeypatch.setenv(f"CHECKING_SIGMA_{variable}", value)
    with pytest.raises(ConfigurationError, match=words):
        PluginHost.load().create("sigma", BackendSettings(plugin="sigma"))
