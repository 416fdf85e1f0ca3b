"""When no hit proves a miss, and when it proves nothing."""

from __future__ import annotations

import pytest

from checking_core.contracts import (
    Answer,
    Outcome,
    Reason,
)

from .rules_and_events import rule_text
from .site import LSASS, ask, start


async def test_a_proven_no_needs_events_of_the_rules_log_source(site):
    site.write(start(CommandLine="whoami"))
    assert (await ask(site.detector())).outcome is Outcome.NO_ALERT


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"EventID": 3}, Reason.NO_TELEMETRY),
        ({"Computer": "other"}, Reason.NO_TELEMETRY),
        ({"Computer": None, "CommandLine": "whoami"}, Reason.NO_TELEMETRY),
        ({"CommandLine": "whoami", "UtcTime": "2019-01-01 00:00:00"}, Reason.SOURCE_SILENT),
        ({"CommandLine": "whoami", "UtcTime": None}, Reason.SOURCE_SILENT),
    ],
)
@pytest.mark.parametrize("config", [{"sigma": "lsass.yml"}, {"telemetry": {"query": LSASS}, "alive": {"query": "*"}}])
async def test_a_rule_that_had_nothing_to_look_at_has_not_been_silent(site, event, reason, config):
    site.write(start(**event))
    result = await ask(site.detector(), detection_config=config)
    assert (result.outcome, result.reason, result.detected) == (Outcome.INCONCLUSIVE, reason, None)


async def test_a_rule_that_had_nothing_to_look_at_is_unknown_though_another_question_is_answered_yes(site):
    site.write(start(EventID=11, TargetFilename="out.dmp"))
    config = {"sigma": "lsass.yml", "telemetry": {"query": "{TargetFilename: out.dmp}"}}
    result = await ask(site.detector(), detection_config=config)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.NO_TELEMETRY)
    assert (result.rule, result.telemetry, result.detected, result.final) == (Answer.UNKNOWN, Answer.YES, None, False)


async def test_a_question_that_could_be_answered_no_spoils_no_yes(site):
    site.write(start())
    config = {"sigma": "lsass.yml", "telemetry": {"query": rule_text({"A": "x"}, logsource={"product": "aws"})}}
    result = await ask(site.detector(), detection_config=config)
    assert (result.outcome, result.rule, result.telemetry) == (Outcome.MATCHED, Answer.YES, Answer.UNKNOWN)


async def test_a_log_source_that_has_stopped_proves_no_miss_though_others_go_on(site):
    site.write(start(-3 * 86_400, CommandLine="whoami"), start(EventID=11, TargetFilename="x"))
    result = await ask(site.detector(), detection_config={"sigma": "lsass.yml", "alive": {"query": "*"}})
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.SOURCE_SILENT)
    assert (result.rule, result.alive) == (Answer.UNKNOWN, Answer.YES)


async def test_no_telemetry_and_a_source_that_reported_are_none(site):
    site.write(start(CommandLine="whoami"))
    config = {"sigma": "lsass.yml", "telemetry": {"query": "{CommandLine|contains: comsvcs}"}, "alive": {"query": "*"}}
    result = await ask(site.detector(), detection_config=config)
    assert (result.outcome, result.telemetry, result.alive) == (Outcome.NONE, Answer.NO, Answer.YES)


async def test_what_could_not_be_read_is_said(site):
    site.write(start())
    with site.log.open("a") as file:
        file.write("nonsense\n")
    result = await ask(site.detector())
    assert result.result_metadata["warnings"] == ["log.jsonl: 1 records cannot be read"]


@pytest.mark.parametrize("line", ['{"Channel": "Secur', "[{}]"])
async def test_a_record_that_cannot_be_read_may_be_the_one_that_is_wanted(site, line):
    site.write(start(CommandLine="whoami"))
    with site.log.open("a") as file:
        file.write(f"{line}\n")
    result = await ask(site.detector())
    assert (result.outcome, result.reason, result.rule) == (
        Outcome.INCONCLUSIVE,
        Reason.BACKEND_PARTIAL_ANSWER,
        Answer.UNKNOWN,
    )


async def test_a_record_that_is_not_written_to_its_end_may_be_the_one_that_is_wanted(site):
    site.write(start(CommandLine="whoami"))
    with site.log.open("a") as file:
        file.write('{"Channel": "Secur')
    result = await ask(site.detector())
    assert (result.outcome, result.final) == (Outcome.INCONCLUSIVE, False)
    assert result.result_metadata["warnings"] == ["log.jsonl: 1 records are not written to their end"]


async def test_a_record_that_cannot_be_read_matters_only_where_its_file_is_asked(site, tmp_path):
    (tmp_path / "other.jsonl").write_text("nonsense\n")
    site.write(start(CommandLine="whoami"))
    both = (str(site.log), str(tmp_path / "other.jsonl"))
    result = await ask(site.detector(events=both), detection_config={"sigma": "lsass.yml", "files": "log*"})
    assert (result.outcome, result.result_metadata.get("warnings")) == (Outcome.NO_ALERT, None)
