"""Sigma rules as SPL: converted where nothing is lost, refused in words where something would be."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from checking_core import Answer, DetectionResult, FatalDetectionError, Outcome, Reason
from checking_core.contracts import EvidenceKind
from checking_core.testing import STARTED
from checking_plugin_splunk.detector import SplunkDetector
from checking_plugin_splunk.language import read
from checking_plugin_splunk.settings import SplunkSettings
from checking_plugin_splunk.sigma import scope_of, to_spl

from .splunk_head import SearchHead, a_row

CREATION = {"product": "windows", "category": "process_creation"}
SYSMON = 'source="XmlWinEventLog:Microsoft-Windows-Sysmon/Operational"'


def a_rule(selection: Any, **logsource: str) -> dict[str, Any]:
    detection = {"selection": selection, "condition": "selection"}
    return {"title": "A rule", "author": "An Author", "logsource": logsource or CREATION, "detection": detection}


def a_detector(**settings: Any) -> SplunkDetector:
    told = {"url": "https://splunk.example:8089", "token": SecretStr("x"), "index": "main", **settings}
    return SplunkDetector("splunk", SplunkSettings(**told))


def test_a_rule_is_asked_of_the_events_of_its_category_alone() -> None:
    query = a_detector().convert(a_rule({"Image|endswith": "\\certutil.exe", "CommandLine|contains": "urlcache"}))
    assert query == f'{SYSMON} EventCode=1 (Image="*\\\\certutil.exe" CommandLine="*urlcache*")'
    assert scope_of(query) == f"{SYSMON} EventCode=1"


def test_alternatives_do_not_escape_the_scope() -> None:
    query = to_spl(a_rule([{"Image|endswith": "a.exe"}, {"CommandLine|contains": "b"}]))
    assert query == f'{SYSMON} EventCode=1 (Image="*a.exe" OR CommandLine="*b*")'


def test_a_rule_of_a_channel_is_asked_of_that_channel_and_its_event_is_a_condition() -> None:
    for service, channel in (("security", "Security"), ("sysmon", "Microsoft-Windows-Sysmon/Operational")):
        query = to_spl(a_rule({"EventID": 1102}, product="windows", service=service))
        assert query == f'source="XmlWinEventLog:{channel}" (EventCode=1102)'
        assert scope_of(query) == f'source="XmlWinEventLog:{channel}"'


def test_a_service_of_several_channels_is_asked_of_all() -> None:
    query = to_spl(a_rule({"EventID": 8003}, product="windows", service="applocker"))
    assert query.startswith('source IN ("XmlWinEventLog:Microsoft-Windows-AppLocker/')
    assert query.endswith(" (EventCode=8003)")
    assert scope_of(query) == query.removesuffix(" (EventCode=8003)")


def test_the_fields_that_a_rule_wants_to_see_do_not_replace_time_and_host() -> None:
    rule = a_rule({"Image": "x"}) | {"fields": ["CommandLine"]}
    assert "|" not in to_spl(rule)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (a_rule({"Image|endswith": "sh"}, product="linux", category="process_creation"), "different at each place"),
        (a_rule({"Image": "x"}, category="process_creation"), "different at each place"),
        (a_rule({"Image": "x"}, product="windows"), "neither category nor service"),
        (a_rule({"x": "y"}, product="windows", category="ps_script"), "events of ps_script cannot be told"),
        (a_rule({"x": "y"}, product="windows", service="of-nobody"), "events of of-nobody cannot be told"),
        (a_rule(["mimikatz", "sekurlsa"]), "whole words only"),
        (a_rule({"CommandLine|re": r"\d+"}), "regular expressions"),
        (a_rule({"CommandLine|contains": "a?b"}), "one character"),
        (a_rule({"Provider_Name": "x"}, product="windows", service="security"), "another name"),
        (a_rule({"CommandLine|contains": "\\*.exe"}), "as itself"),
        (a_rule({"Image|expand": "%admins%"}), "placeholder"),
        (a_rule({"Image|fieldref": "ParentImage"}), "compares fields"),
        (a_rule({"Image|cased": "x"}), "cannot say this rule"),
        ({"title": "x"}, "no Sigma rule"),
        ({"title": "x", "correlation": {"type": "event_count"}}, "no Sigma rule"),
        ("missing.yml", "missing.yml cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_lost_is_refused_in_words(rule: Any, words: str) -> None:
    with pytest.raises(FatalDetectionError, match=words) as refusal:
        to_spl(rule)
    assert refusal.value.reason is Reason.NOT_CONVERTIBLE


def test_a_rule_without_an_index_to_look_in_is_refused() -> None:
    with pytest.raises(FatalDetectionError, match="set INDEX"):
        a_detector(index=None).convert(a_rule({"Image": "x"}))


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigma.collection", None)
    for module in ("checking_plugin_splunk.sigma", "checking_core.plugin.sigma"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(FatalDetectionError, match=r"checking-plugin-splunk\[convert\]"):
        a_detector().convert(a_rule({"Image": "x"}))


def converted_or_none(rule: Path) -> str | None:
    try:
        return to_spl(str(rule))
    except FatalDetectionError:
        return None


def test_each_public_rule_is_scoped_or_refused(shared_data: Path) -> None:
    rules = sorted((shared_data / "sigma" / "rules").rglob("*.yml"))
    queries = [query for rule in rules if (query := converted_or_none(rule))]
    assert len(queries) > len(rules) * 0.9
    for query in queries:
        assert re.match(r'source="XmlWinEventLog:[^"*]+" (EventCode(=| IN )[^)"]*\)? ?)?\(', query)
        assert read(query).parts() == (query, "")


# --- asked --------------------------------------------------------------------------------------------------------

MATCH = a_row(_time=STARTED.isoformat())


async def looked(head: SearchHead, rows: list[dict[str, Any]], source: list[dict[str, Any]]) -> DetectionResult:
    """A look for a rule; ``source`` is what is there of the rule's source."""

    def found(search: str) -> list[dict[str, Any]]:
        if "eventcount" in search:
            return [{"index": "main"}]
        return source if search.endswith("EventCode=1 | head 1") else rows

    head.rows_of = found  # type: ignore[method-assign,assignment]
    return await head.look({"sigma": a_rule({"CommandLine|contains": "minidump"})})


async def test_a_rule_is_asked_in_the_index_of_the_settings_and_its_author_is_named(head: SearchHead) -> None:
    result = await looked(head, [MATCH], [])
    assert head.searches[0].startswith(f'search index="main" ({SYSMON} EventCode=1 (CommandLine="*minidump*")) | head ')
    assert result.outcome is Outcome.MATCHED
    (match,) = result.parsed_results.evidence
    assert (match.kind, match.title) == (EvidenceKind.MATCH, "A rule (rule by An Author)")


async def test_a_rule_is_silent_only_where_its_source_is_not(head: SearchHead) -> None:
    silent = await looked(head, [], [])
    assert (silent.outcome, silent.reason) == (Outcome.INCONCLUSIVE, Reason.SOURCE_SILENT)
    assert "there is no event of the last 7 days" in str(silent.result_metadata)
    assert (await looked(head, [], [MATCH])).rule is Answer.NO
