"""Lint: everything that is wrong with expectations, told at once, each with its line and its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from checking_core.expectations import LintCode, LintMessage, lint

from .planning import written

BACKENDS = ["splunk-prod", "elastic-soc"]


def findings(folder: Path, text: str) -> list[tuple[int, LintCode]]:
    return [(message.line, message.code) for message in lint([written(folder, text)], BACKENDS)]


def query(text: str, language: str = "spl", section: str = "rule") -> str:
    return f"""\
version: 1
expectations:
- id: one
  when: {{technique: T1003}}
  backend: splunk-prod
  {section}:
    language: {language}
    query: >-
      {text}
"""


def test_a_good_file_has_no_messages(tmp_path: Path):
    assert findings(tmp_path, query("index=wineventlog EventCode=1")) == []


def test_every_problem_of_every_file_is_told(tmp_path: Path):
    written(tmp_path, "version: one: two", "a.yml")
    written(
        tmp_path,
        """\
        version: 1
        backends_default: [elastic-so]
        expectations:
        - id: one
          when: {technik: T1003, command: "("}
        - id: two
          when: {technique: T1003}
          backends: [splunk-prod, splunk-prd]
          query: index=x earliest=-15m
        - id: two
          when: {technique: T1003}
          prevention: true
        - id: three
          when: {technique: T1003}
          prevention: true
        """,
        "b.yml",
    )
    found = [(Path(message.file).name, message.line, message.code) for message in lint([tmp_path], BACKENDS)]
    assert found == [
        ("a.yml", 1, LintCode.UNREADABLE),
        ("b.yml", 2, LintCode.UNKNOWN_BACKEND),
        ("b.yml", 5, LintCode.BAD_REGEX),
        ("b.yml", 5, LintCode.UNKNOWN_KEY),
        ("b.yml", 8, LintCode.UNKNOWN_BACKEND),
        ("b.yml", 9, LintCode.OWN_TIME_RANGE),
        ("b.yml", 10, LintCode.DUPLICATE_ID),
    ]


def test_a_message_reads_file_line_code_message_remedy(tmp_path: Path):
    [message] = lint([written(tmp_path, query("index=x").replace("splunk-prod", "splunk-prd"))], BACKENDS)
    assert str(message) == (
        f"{tmp_path}/expectations.yml:5: unknown-backend backend: splunk-prd is not configured; "
        "did you mean splunk-prod?"
    )


def test_a_backend_that_resembles_none_is_told_with_those_there_are(tmp_path: Path):
    path = written(tmp_path, query("index=x").replace("splunk-prod", "qradar"))
    assert lint([path], BACKENDS)[0].remedy == "use one of: elastic-soc, splunk-prod"
    assert lint([path], [])[0].remedy == "use one of: none is configured yet"


def test_a_missing_path_is_a_message_and_hides_nothing(tmp_path: Path):
    found = lint([tmp_path / "gone.yml", written(tmp_path, "version: 2\nexpectations: []")], BACKENDS)
    assert [message.code for message in found] == [LintCode.SCHEMA, LintCode.UNREADABLE]
    assert all(isinstance(message, LintMessage) for message in found)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("index=x earliest=-15m EventCode=1", "spl"),
        ("index=x latest = now", "spl"),
        ("index=x _index_earliest=-1h", "spl"),
        ("index=x starttime=01/01/2026:00:00:00 timeformat=%s", "spl"),
        ("index=x | where _time > relative_time(x)", "spl"),
        ("@timestamp >= now-1h and process.name: a", "kql"),
        ("@timestamp: [now-1h TO now]", "lucene"),
        ('{"range": {"@timestamp": {"gte": "now-1h"}}}', "dsl"),
        ("FROM logs-* | WHERE @timestamp >= NOW() - 1 hour", "esql"),
        ('process where @timestamp > "2026-01-01"', "eql"),
        ("DeviceProcessEvents | where TimeGenerated > ago(1h)", "kusto"),
        ("T | where TimeGenerated between (a .. b)", "kusto"),
        ("created_timestamp:>'2026-01-01'+status:'new'", "fql"),
    ],
)
@pytest.mark.parametrize("section", ["rule", "telemetry", "alive"])
def test_a_query_that_chooses_its_own_time_is_told(tmp_path: Path, text: str, language: str, section: str):
    assert findings(tmp_path, query(text, language, section)) == [(8, LintCode.OWN_TIME_RANGE)]


def test_the_query_of_an_alert_and_a_bare_one_are_looked_at_too(tmp_path: Path):
    text = query("x").partition("  rule:")[0]
    assert findings(tmp_path, text + "  alert: {query: 'earliest=-1h'}\n") == [(6, LintCode.OWN_TIME_RANGE)]
    assert findings(tmp_path, text + "  query: 'earliest=-1h'\n") == [(6, LintCode.OWN_TIME_RANGE)]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("index=wineventlog EventCode=1 CommandLine=*earliest*", "spl"),
        ("index=x | stats earliest(_time) count by host", "spl"),
        ('process where process.name == "now.exe"', "eql"),
        ("FROM logs-* | SORT @timestamp | LIMIT 10", "esql"),
        ("DeviceProcessEvents | project TimeGenerated, FileName", "kusto"),
        ("process.command_line: *timestamp*", "kql"),
        ("powershell -c (Get-Date).AddDays(-1) chicago(x)", "spl"),
    ],
)
def test_a_query_without_its_own_time_is_not_told(tmp_path: Path, text: str, language: str):
    assert findings(tmp_path, query(text, language)) == []
