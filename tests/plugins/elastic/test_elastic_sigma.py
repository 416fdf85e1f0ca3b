"""Sigma rules as EQL: converted where nothing is lost, refused in words where something would be."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from checking_core import FatalDetectionError, Reason
from checking_plugin_elastic.detector import ElasticDetector
from checking_plugin_elastic.language import Language, refuse_unsafe
from checking_plugin_elastic.settings import ElasticSettings
from checking_plugin_elastic.sigma import to_eql

CREATION = {"product": "windows", "category": "process_creation"}


def a_rule(selection: Any, **logsource: str) -> dict[str, Any]:
    detection = {"selection": selection, "condition": "selection"}
    return {"title": "A rule", "logsource": logsource or CREATION, "detection": detection}


def a_detector(**settings: Any) -> ElasticDetector:
    told = {"url": "https://es.example", "api_key": SecretStr("x"), "index": "logs-*", **settings}
    return ElasticDetector("elastic", ElasticSettings(**told))


def test_a_rule_is_asked_of_the_events_of_its_category_alone() -> None:
    query = a_detector().convert(a_rule({"Image|endswith": "\\certutil.exe", "CommandLine|contains": "urlcache"}))
    assert query == (
        'process where event.type == "start" and '
        '(process.executable:"*\\\\certutil.exe" and process.command_line:"*urlcache*")'
    )


def test_a_winlog_field_may_stand_in_a_string_and_in_a_rule_of_a_channel() -> None:
    assert "winlog.event_data" in to_eql(a_rule({"CommandLine|contains": "winlog.event_data.x"}))
    assert "winlog.event_data.X" in to_eql(a_rule({"X": "y"}, product="windows", service="security"))


def test_a_path_of_windows_means_no_sign_as_itself() -> None:
    assert to_eql(a_rule({"Image": "C:\\a\\\\*.exe"})).endswith('(process.executable:"C:\\\\a\\\\*.exe")')


def test_alternatives_do_not_escape_the_scope() -> None:
    query = to_eql(a_rule([{"Image|endswith": "a.exe"}, {"CommandLine|contains": "b"}]))
    assert re.fullmatch(r'process where event\.type == "start" and \(.* or .*\)', query)


def test_a_rule_of_a_channel_is_asked_of_that_channel() -> None:
    query = to_eql(a_rule({"EventID": 1102}, product="windows", service="security"))
    assert query == 'any where (winlog.channel:"Security" and event.code:"1102")'


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (a_rule({"Image|endswith": "sh"}, product="linux", category="process_creation"), "only for windows"),
        (a_rule({"Image": "x"}, category="process_creation"), "only for windows"),
        (a_rule({"GrantedAccess": "0x1"}, product="windows", category="process_access"), "process_access"),
        (a_rule({"Image": "x"}, product="windows"), "neither category nor service"),
        (a_rule(["mimikatz", "sekurlsa"]), "any field"),
        (a_rule({"CommandLine|re": r"\d+"}), "regular expressions"),
        (a_rule({"Initiated": "true"}, product="windows", category="network_connection"), "Initiated"),
        (a_rule({"User|contains": "AUTHORI"}), "domain and a name"),
        (a_rule({"ParentProcessName": "C:\\a.exe"}, product="windows", service="security"), "name alone"),
        (a_rule({"ImageLoaded": "x"}, product="windows", category="image_load"), "image_load"),
        (a_rule({"Details": "x"}, product="windows", category="registry_set"), "event_data.Details: written by Winlog"),
        (a_rule({"CommandLine|contains": "\\*.exe"}), "as itself"),
        (a_rule({"Image|expand": "%admins%"}), "placeholder"),
        (a_rule({"Image|fieldref": "ParentImage"}), "cannot say this rule"),
        ({"title": "x"}, "no Sigma rule"),
        ({"title": "x", "correlation": {"type": "event_count"}}, "no Sigma rule"),
        ("missing.yml", "missing.yml cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_lost_is_refused_in_words(rule: Any, words: str) -> None:
    with pytest.raises(FatalDetectionError, match=words) as refusal:
        to_eql(rule)
    assert refusal.value.reason is Reason.NOT_CONVERTIBLE


def test_several_rules_are_not_one(tmp_path: Path) -> None:
    one = "title: x\nlogsource: {product: windows, category: process_creation}\ndetection: {s: {A: b}, condition: s}\n"
    (tmp_path / "two.yml").write_text(f"{one}---\n{one}")
    with pytest.raises(FatalDetectionError, match="2 rules stand in one place"):
        to_eql(str(tmp_path / "two.yml"))


def test_a_rule_without_an_index_to_look_in_is_refused() -> None:
    with pytest.raises(FatalDetectionError, match="set INDEX"):
        a_detector(index=None).convert(a_rule({"Image": "x"}))


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigma.collection", None)
    for module in ("checking_plugin_elastic.sigma", "checking_core.plugin.sigma"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(FatalDetectionError, match=r"checking-plugin-elastic\[convert\]"):
        a_detector().convert(a_rule({"Image": "x"}))


def converted_or_none(rule: Path) -> str | None:
    try:
        return to_eql(str(rule))
    except FatalDetectionError:
        return None


def test_each_public_rule_is_scoped_or_refused(shared_data: Path) -> None:
    rules = sorted((shared_data / "sigma" / "rules").rglob("*.yml"))
    queries = [query for rule in rules if (query := converted_or_none(rule))]
    assert len(queries) > len(rules) * 0.7
    for query in queries:
        assert re.match(r"(process|file|network|registry) where |any where \(winlog\.channel:", query)
        assert ".caseless" not in query
        refuse_unsafe(query, Language.EQL, None)
