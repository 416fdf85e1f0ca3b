"""Lint: everything that is wrong with expectations, told at once, each with its line and its remedy."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from checking_core.contracts import Answer, Ask, Axes, Met
from checking_core.contracts.placeholder import PLACEHOLDERS
from checking_core.expectations import LintCode, LintMessage, lint
from checking_core.expectations.lint import ANSWERED_BY
from checking_core.matching.judge import judge, met_of

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
        ("hostname:'a'+last_seen:>='2026-01-01'", "fql"),
    ],
)
@pytest.mark.parametrize("section", ["rule", "telemetry", "alive"])
def test_a_query_that_chooses_its_own_time_is_told(tmp_path: Path, text: str, language: str, section: str):
    assert (8, LintCode.OWN_TIME_RANGE) in findings(tmp_path, query(text, language, section))


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
    codes = {code for _, code in findings(tmp_path, query(text, language))}
    assert LintCode.OWN_TIME_RANGE not in codes


# --- scope -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("EventCode=1 CommandLine=*comsvcs*", "spl"),
        ("host=${agent_host} EventCode=1", "SPL"),
        ("sourcetype=x reindex=1", "spl"),
        ("index=* EventCode=1", "spl"),
        ('index="*" EventCode=1', "anything"),
        ("FROM * | WHERE process.name == 'a'", "esql"),
        ("union * | where FileName == 'a'", "kusto"),
    ],
)
def test_a_query_that_names_no_index_or_every_one_is_told(tmp_path: Path, text: str, language: str):
    assert findings(tmp_path, query(text, language)) == [(8, LintCode.NO_SCOPE)]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("index=wineventlog EventCode=1", "spl"),
        ("search index IN (a, b) EventCode=1", "spl"),
        ("`sysmon` EventCode=1", "spl"),
        ("| tstats count from datamodel=Endpoint.Processes", "spl"),
        ("index=wineventlog CommandLine=*index=\\**", "spl"),
        ("index=windows* EventCode=1", "spl"),
        ("FROM logs-* | WHERE process.name == 'a'", "esql"),
        ("process where process.name == 'a'", "eql"),
        ("EventCode=1", "unheard-of"),
    ],
)
def test_a_query_with_a_scope_or_of_a_language_that_has_none_is_not_told(tmp_path: Path, text: str, language: str):
    assert findings(tmp_path, query(text, language)) == []


def test_an_index_beside_the_query_is_its_scope(tmp_path: Path):
    scoped = query("EventCode=1").replace("    language", "    index: wineventlog\n    language")
    assert findings(tmp_path, scoped) == []
    assert findings(tmp_path, scoped.replace("wineventlog", '"*"')) == [(9, LintCode.NO_SCOPE)]


def test_a_query_that_names_no_language_has_that_of_its_backends(tmp_path: Path):
    text = query("EventCode=1").replace("    language: spl\n", "")
    path = written(tmp_path, text)
    assert lint([path], BACKENDS) == []
    [message] = lint([path], BACKENDS, languages={"splunk-prod": "spl"})
    assert message.code is LintCode.NO_SCOPE
    several = written(tmp_path, text.replace("backend: splunk-prod", "backends: [splunk-prod, elastic-soc]"))
    assert lint([several], BACKENDS, languages={"splunk-prod": "spl", "elastic-soc": "esql"}) == []


def test_a_question_that_a_backend_cannot_answer_is_told_for_each_of_them(tmp_path: Path):
    text = query("x", "fql", "telemetry").replace("backend: splunk-prod", "backends: [splunk-prod, elastic-soc]")
    path = written(tmp_path, text + "  alive: {query: x}\n  prevention: true\n")
    edr = frozenset({Ask.ALERT, Ask.PREVENTION, Ask.ALIVE})
    [message] = lint([path], BACKENDS, answers={"splunk-prod": edr, "elastic-soc": frozenset(Ask)})
    assert (message.line, message.code) == (6, LintCode.NOT_ANSWERED)
    assert message.message == "splunk-prod cannot answer telemetry: each of its checks would be not_applicable"
    both = lint([path], BACKENDS, answers=dict.fromkeys(BACKENDS, edr))
    assert [message.message.partition(" ")[0] for message in both] == BACKENDS
    assert lint([path], BACKENDS, answers={"elastic-soc": frozenset(Ask)}) == [], "nothing is known of the other"


def test_what_an_expectation_asks_without_a_section_of_its_own_is_told_too(tmp_path: Path):
    path = written(tmp_path, query("index=x").partition("  rule:")[0] + "  sigma: {title: a}\n  alert: {rule: x}\n")
    [message] = lint([path], BACKENDS, answers={"splunk-prod": frozenset({Ask.ALERT})})
    assert (message.code, "cannot answer rule:" in message.message) == (LintCode.NOT_ANSWERED, True)


def test_the_original_form_has_a_scope_too(tmp_path: Path):
    text = query("x").partition("  rule:")[0]
    bare = text + "  query: EventCode=1\n  query_language: spl\n"
    assert findings(tmp_path, bare) == [(6, LintCode.NO_SCOPE)]


# --- placeholders ----------------------------------------------------------------------------------------------


def test_a_placeholder_that_stands_for_nothing_is_told_once(tmp_path: Path):
    path = written(tmp_path, query("index=x host=${agnt_host} ${agnt_host} ${zzz} ${} ${agent_host}"))
    told = [message.message.partition(" ")[2] + "; " + message.remedy for message in lint([path], BACKENDS)]
    every = f"use one of {', '.join(PLACEHOLDERS)}"
    assert told == [
        "${agnt_host} stands for nothing; did you mean agent_host?",
        f"${{zzz}} stands for nothing; {every}",
        f"${{}} stands for nothing; {every}",
    ]


def test_every_placeholder_that_there_is_and_a_dollar_are_not_told(tmp_path: Path):
    names = " ".join(f"${{{name}}}" for name in PLACEHOLDERS)
    assert findings(tmp_path, query(f"index=x {names} $ {{}} $x", "anything")) == []


def test_a_placeholder_in_a_query_whose_strings_are_not_certain_is_told(tmp_path: Path):
    unclear = query("index=x user=O'Brien host=${agent_host}")
    assert findings(tmp_path, unclear) == [(8, LintCode.UNCLEAR_QUOTES)]
    assert findings(tmp_path, unclear.replace("${agent_host}", "ws01")) == []


def test_every_placeholder_stands_in_the_reference():
    page = (Path(__file__).parents[2] / "docs/reference/detection-config.md").read_text(encoding="utf-8")
    assert [name for name in PLACEHOLDERS if f"`${{{name}}}`" not in page] == []


# --- what can never be decided ---------------------------------------------------------------------------------

ALL = "telemetry: {query: q}, alive: {query: q}"


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ("expect: alerted, rule: {query: q}", [LintCode.NOT_ASKED]),
        ("expect: alerted, query: q", [LintCode.NOT_ASKED]),
        (f"expect: alerted, {ALL}", [LintCode.NOT_ASKED]),
        (f"expect: matched, {ALL}", [LintCode.NOT_ASKED]),
        (f"expect: silent, {ALL}", [LintCode.NOT_ASKED]),
        ("expect: logged, alive: {query: q}", [LintCode.NOT_ASKED]),
        ("telemetry: {query: q}", [LintCode.NO_ALIVE]),
        ("expect: alerted, alert: {rule: r}, telemetry: {query: q}", [LintCode.NO_ALIVE]),
        ("expect: alerted", []),
        ("expect: alerted, alert: {rule: r}, rule: {query: q}", []),
        ("expect: matched, alert: {rule: r}", []),
        ("expect: silent, rule: {query: q}", []),
        (f"expect: logged, {ALL}", []),
        ("expect: blocked, rule: {query: q}", []),
        ("expect: observe, alive: {query: q}", []),
    ],
)
def test_what_its_questions_can_never_decide_is_told(tmp_path: Path, asked: str, codes: list[LintCode]):
    text = f"version: 1\nexpectations:\n- {{id: one, when: {{technique: T1003}}, backend: splunk-prod, {asked}}}\n"
    assert findings(tmp_path, text) == [(3, code) for code in codes]


def test_no_expectation_that_lint_calls_undecidable_could_ever_be_met():
    """The table of lint follows from the one of the judge: whatever is answered, the measure stays unknown."""
    for expect, (asks, _, _) in ANSWERED_BY.items():
        for alert, rule, telemetry, alive in product(*[(Answer.YES, Answer.NO)] * 4):
            said = {Ask.ALERT: alert, Ask.RULE: rule, Ask.TELEMETRY: telemetry, Ask.ALIVE: alive}
            axes = Axes(**{ask.value: answer for ask, answer in said.items() if ask not in asks})
            judged = judge(axes, proven=True)
            assert met_of(expect, judged.outcome, judged.axes)[0] is not Met.YES, (expect, axes)


# --- names and patterns ----------------------------------------------------------------------------------------


def named(when: str, more: str = "alert: {rule: r}") -> str:
    return f"version: 1\nexpectations:\n- id: one\n  when: {{{when}}}\n  backend: splunk-prod\n  {more}\n"


def test_a_technique_that_was_renamed_is_told_with_its_name_of_today(tmp_path: Path):
    path = written(tmp_path, named("technique: [T1003, t1086]", "alert: {techniques: [T1059, T1089]}"))
    first, second = lint([path], BACKENDS)
    assert str(first).endswith(
        "renamed-technique when.technique: t1086 is called T1059.001 today; write T1059.001; both are found"
    )
    assert (second.line, second.message) == (6, "alert.techniques: T1089 is called T1685 today")


def test_a_sigma_rule_is_looked_for_here_and_beside_the_expectations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rules = tmp_path / "rules"
    rules.mkdir()
    text = named("technique: T1003", "sigma: rules/dump.yml")
    assert findings(tmp_path, text) == [(6, LintCode.NOT_CONVERTIBLE)]
    (rules / "dump.yml").write_text("title: Dump\n")
    assert findings(tmp_path, text) == []
    monkeypatch.chdir(rules)
    assert findings(tmp_path, text.replace("rules/", "")) == []
    assert findings(tmp_path, named("technique: T1003", "sigma: {title: Inline}")) == []
    assert findings(tmp_path, named("technique: T1003", f"sigma: {'x' * 5000}")) == [(6, LintCode.NOT_CONVERTIBLE)]


def test_a_backend_that_knows_its_rules_says_itself_what_is_wrong_with_one(tmp_path: Path):
    def problem_of(rule: Any) -> str | None:
        return None if rule == "known.yml" else f"there is no {rule}"

    def told(rule: str, backends: str = "splunk-prod") -> list[str]:
        text = named("technique: T1003", f"sigma: {rule}").replace("backend: splunk-prod", f"backends: [{backends}]")
        problems = {"splunk-prod": problem_of}
        return [message.message for message in lint([written(tmp_path, text)], BACKENDS, rule_problems=problems)]

    assert told("known.yml") == []
    assert told("other.yml") == ["sigma: splunk-prod: there is no other.yml"]
    assert told("{title: x}") == ["sigma: splunk-prod: there is no {'title': 'x'}"]
    assert [message[:19] for message in told("known.yml", "splunk-prod, elastic-soc")] == ["sigma: known.yml is"]


@pytest.mark.parametrize("when", ["command: '.*'", "command: ['whoami', 'x?']", "procedure: '*'", "procedure: ['**']"])
def test_a_condition_that_holds_for_everything_is_told(tmp_path: Path, when: str):
    assert findings(tmp_path, named(when)) == [(4, LintCode.MATCHES_TOO_MUCH)]


@pytest.mark.parametrize("when", ["command: '.+x'", "procedure: 'Dump *'", "host: '*'", "technique: T1003"])
def test_a_condition_that_chooses_is_not_told(tmp_path: Path, when: str):
    assert findings(tmp_path, named(when)) == []


def test_every_code_stands_in_the_reference():
    page = (Path(__file__).parents[2] / "docs/reference/expectations.md").read_text(encoding="utf-8")
    assert [code for code in LintCode if f"| `{code}` |" not in page] == []
