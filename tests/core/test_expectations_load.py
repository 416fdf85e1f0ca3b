"""Expectations files: what is read, what is refused, and how precisely the refusal says where and what to do."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from checking_core.contracts import Expect
from checking_core.errors import ConfigurationError
from checking_core.expectations import Expectations, ExpectationsError, LintCode, load, schema

from .planning import loaded, written

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "expectations.md"

THREE = """\
    version: 1
    backends_default: [splunk]
    expectations:
    - id: lsass-comsvcs
      when: {procedure: "Dump LSASS*", platform: windows}
      expect: alerted
      alert: {rule: LSASS Dump, severity: ">=high"}

    - id: comsvcs-sigma
      when: {technique: T1003.001, command: ['comsvcs.*MiniDump']}
      backends: [splunk, elastic]
      sigma: rules/comsvcs.yml
    - id: bare-query
      when: {operation: "*"}
      backend: elastic
      query: 'process.name: "rundll32.exe"'
      query_language: kql
      jitter: 2m
    """


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, text)
    return str(caught.value).removeprefix(f"{folder}/")


def one(entry: str) -> str:
    """A file with one expectation, these lines being part of it."""
    return (
        f"version: 1\nbackends_default: [splunk]\nexpectations:\n- id: one\n  when: {{operation: nightly}}\n  {entry}\n"
    )


def test_every_expectation_keeps_its_file_and_line(tmp_path: Path):
    items = loaded(tmp_path, THREE).items
    assert [(item.id, item.line) for item in items] == [("lsass-comsvcs", 4), ("comsvcs-sigma", 9), ("bare-query", 13)]
    assert {item.file for item in items} == {str(tmp_path / "expectations.yml")}


def test_the_configuration_is_kept_as_written_without_defaults(tmp_path: Path):
    first, second, third = loaded(tmp_path, THREE).items
    assert first.config == {"expect": "alerted", "alert": {"rule": "LSASS Dump", "severity": ">=high"}}
    assert second.config == {"sigma": "rules/comsvcs.yml"}
    assert third.config == {"rule": {"query": 'process.name: "rundll32.exe"', "language": "kql"}, "jitter": "2m"}


def test_what_is_wanted_follows_from_the_strongest_section_unless_it_is_said(tmp_path: Path):
    assert [item.question.wanted for item in loaded(tmp_path, THREE).items] == [
        Expect.ALERTED,
        Expect.MATCHED,
        Expect.MATCHED,
    ]


def test_backends_are_named_by_the_expectation_or_by_the_file(tmp_path: Path):
    assert [item.backends for item in loaded(tmp_path, THREE).items] == [
        ("splunk",),
        ("splunk", "elastic"),
        ("elastic",),
    ]


def test_a_folder_gives_its_yaml_files_by_name_and_a_file_reached_twice_is_read_once(tmp_path: Path):
    for name, identifier in (("b.yml", "second"), ("a.yaml", "first"), ("notes.txt", "none")):
        written(tmp_path, one("prevention: true").replace("id: one", f"id: {identifier}"), name)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "sigma.yml").write_text("title: a rule, no expectation")
    assert [item.id for item in load([tmp_path, tmp_path / "b.yml"]).items] == ["first", "second"]


def test_no_paths_are_no_expectations():
    assert load([]) == Expectations()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("expct: alerted", "expectations.yml:6: expct: is no known key; did you mean expect?"),
        ("alert: {ruel: x}", "expectations.yml:6: alert.ruel: is no known key; did you mean rule?"),
        ("expect: alarm", "expectations.yml:6: expect: is none of the known values; use 'blocked', 'alerted', "),
        ("alert: {rule: 4104}", "expectations.yml:6: alert.rule: is no text; put it in quotes"),
        ("rule: {language: kql}", "expectations.yml:6: rule.query: is missing; add it"),
        ("deadline: soon", "expectations.yml:6: deadline: is no span of time; write seconds, a number with s, m, h"),
        ("backend: Splunk Prod", "expectations.yml:6: backend: has characters that are not allowed"),
        ("backends: []", "expectations.yml:6: backends: "),
        ("backend: splunk\n  backends: [elastic]", "expectations.yml:4: backends: says the same as backend; keep one"),
        ("query: a\n  sigma: b.yml", "expectations.yml:4: query: says the same as sigma; keep one of them"),
        ("sigma: 3", "expectations.yml:6: sigma: is neither the path of a Sigma rule nor the rule itself; see "),
        ("query: ' '", "expectations.yml:6: query: is empty; "),
        ("max_retries: 1000", "expectations.yml:6: max_retries: "),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_file_line_field_and_remedy(tmp_path: Path, entry: str, message: str):
    assert refusal(tmp_path, one(entry)).startswith(message)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("{}", "when: names no execution; give at least one of ability, procedure"),
        ("{command: '('}", "when.command: is no regular expression: missing ), unterminated subpattern at position 0;"),
        ("{command: 'a{99999999999}'}", "when.command: is no regular expression"),
        ("{technique: LSASS}", "when.technique: is no ATT&CK technique; write T1003 or T1003.001"),
        ("{technik: T1003}", "when.technik: is no known key; did you mean technique?"),
        ("{host: null}", "when.host: "),
        ("{host: []}", "when.host: "),
        ("{agent: 4711}", "when.agent: "),
    ],
)
def test_a_condition_that_cannot_work_is_refused(tmp_path: Path, when: str, message: str):
    text = one("prevention: true").replace("{operation: nightly}", when)
    assert refusal(tmp_path, text).startswith(f"expectations.yml:5: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expectations.yml:1: is no mapping; write key: value"),
        ("[]", "expectations.yml:1: is no mapping; write key: value"),
        ("version: 1", "expectations.yml:1: expectations: is missing; add it"),
        ("expectations: []", "expectations.yml:1: version: is missing; add it"),
        ("version: 2\nexpectations: []", "expectations.yml:1: version: is none of the known values; use 1"),
        ("version: 1\nexpectations: {}", "expectations.yml:2: expectations: is no list;"),
        ("version: 1\nexpectations:\n- text", "expectations.yml:3: is no mapping; write key: value"),
        ("version: 1\nbackend_default: [a]\nexpectations: []", "expectations.yml:2: backend_default: is no known key;"),
        (
            "version: 1\nexpectations:\n- id: one\n  when: {host: a}\n",
            "expectations.yml:3: backend: is missing; name one, or set backends_default",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, message: str):
    assert refusal(tmp_path, text).startswith(message)


def test_an_id_is_used_once_over_all_files(tmp_path: Path):
    first, second = (written(tmp_path, one("prevention: true"), name) for name in ("a.yml", "b.yml"))
    with pytest.raises(ConfigurationError) as caught:
        load([first, second])
    assert str(caught.value).startswith(f"{second}:4: id: one is used already at {first}:4; ")


def test_the_refusal_names_the_first_problem_and_counts_the_others(tmp_path: Path):
    message = refusal(tmp_path, one("expct: alerted\n  rle: 1\n  alrt: 2"))
    assert message.endswith("(and 2 more: checking expectations lint)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "expectations.yml:1: is no YAML: "),
        ("a: 1\nb: 2\na: 3", "expectations.yml:3: a: is written twice; keep one of them"),
        ("a: 1\n---\nb: 2", "expectations.yml:2: is no YAML: "),
        ("a: !!python/object/apply:os.system [id]", "expectations.yml:1: has a value with a tag"),
        ("a: !!timestamp 2026-01-31", "expectations.yml:1: has a value with a tag"),
        ("a: !!int one", "expectations.yml:1: has a value with a tag"),
        ("1: a", "expectations.yml:1: has a key that is no text; put it in quotes"),
        ("[a]: b", "expectations.yml:1: has a key that is no text; put it in quotes"),
        ('a: "\\0"', "expectations.yml:1: has a NUL or half a character; remove it"),
        ("a: &a [*a]", "expectations.yml:1: its aliases expand to"),
        ("a: &a {<<: *a}", "expectations.yml:1: its aliases expand to"),
        ("<<: text", "expectations.yml:1: <<: is no mapping; merge a mapping"),
        ("a: \x01", "expectations.yml:1: is no YAML text: "),
    ],
)
def test_yaml_that_would_mislead_or_harm_is_refused(tmp_path: Path, text: str, message: str):
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize("text", ["[" * 200_000, "a: {" * 200_000, "- " * 200_000])
def test_deep_nesting_is_refused_before_it_can_end_the_process(tmp_path: Path, text: str):
    assert "is nested more than 32 deep; write it flatter" in refusal(tmp_path, text)


@pytest.mark.parametrize("form", ["[{}]", "{{<<: [{}]}}"])
def test_a_bomb_of_aliases_is_refused_before_it_expands(tmp_path: Path, form: str):
    bomb = ["a0: &a0 {k: v}"]
    bomb += [f"a{n}: &a{n} {form.format(', '.join([f'*a{n - 1}'] * 10))}" for n in range(1, 12)]
    assert "its aliases expand to more than" in refusal(tmp_path, "\n".join(bomb))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path):
    path = tmp_path / "large.yml"
    path.write_text("#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="split it into several files"):
        load([path])


def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=re.escape(f"{tmp_path}/gone.yml:1: cannot be read: No such file")):
        load([tmp_path / "gone.yml"])
    with pytest.raises(ConfigurationError, match=r"holds no \*\.yml and no \*\.yaml"):
        load([tmp_path])


def test_a_backend_that_is_not_configured_is_refused_where_they_are_known(tmp_path: Path):
    text = """\
        version: 1
        backends_default: [splunk-prd]
        expectations:
        - {id: one, when: {technique: T1003}, alert: {}}
        """
    assert len(loaded(tmp_path, text).items) == len(loaded(tmp_path, text, backends=["splunk-prd"]).items) == 1
    problem = re.escape(":2: backend: splunk-prd is not configured; did you mean splunk-prod?")
    with pytest.raises(ConfigurationError, match=problem):
        loaded(tmp_path, text, backends=["splunk-prod"])


def test_anchors_and_merges_are_allowed_and_lines_are_those_of_the_text(tmp_path: Path):
    text = """\
        version: 1
        expectations:
        - &first
          id: first
          when: &windows {platform: windows}
          backend: splunk
          alert: {rule: a}
        - <<: *first
          id: second
          when: {<<: *windows, host: ws*}
          alert: {rule: b}
        """
    first, second = loaded(tmp_path, text).items
    assert (first.line, second.line, second.backends) == (3, 8, ("splunk",))
    assert second.config == {"alert": {"rule": "b"}}


def test_a_problem_of_a_merged_key_is_told_where_the_key_stands(tmp_path: Path):
    text = """\
        version: 1
        expectations:
        - id: first
          when: {platform: windows}
          backend: splunk
          rule:
            &logic
            query: index=x
            langage: spl
        - id: second
          when: {platform: windows}
          backend: splunk
          rule: {<<: *logic, index: x}
        """
    with pytest.raises(ExpectationsError) as caught:
        loaded(tmp_path, text)
    assert [(problem.line, problem.code) for problem in caught.value.problems] == [(9, LintCode.UNKNOWN_KEY)] * 2


@pytest.mark.parametrize("text", ["no", "on", "2026-01-31", "0123", "12:30:45", "0x1F", "1e3", ".nan"])
def test_plain_text_stays_text(tmp_path: Path, text: str):
    [item] = loaded(tmp_path, one(f"target: {{account: {text}}}")).items
    assert item.config == {"target": {"account": text}}


def test_numbers_and_booleans_are_what_json_calls_so(tmp_path: Path):
    [item] = loaded(tmp_path, one("target: {a: 12, b: -0.5, c: true, d: null, e: ~}")).items
    assert item.config["target"] == {"a": 12, "b": -0.5, "c": True, "d": None, "e": None}


def test_keys_of_plugins_are_accepted_where_they_are_known(tmp_path: Path):
    text = one("script: [late]")
    assert "script: is no known key" in refusal(tmp_path, text)
    [item] = loaded(tmp_path, text, plugin_keys={"script"}).items
    assert item.config == {"script": ["late"]}


def test_the_shipped_schema_is_current():
    shipped = json.loads((files("checking_core.expectations") / "expectations.schema.json").read_text())
    assert shipped == schema(), "write schema() into expectations.schema.json"


def test_the_schema_accepts_what_is_loaded_and_refuses_an_unknown_key(tmp_path: Path):
    validator = Draft202012Validator(schema())
    data = yaml.safe_load(THREE)
    validator.validate(data)
    data["expectations"][0]["alert"]["ruel"] = "x"
    assert not validator.is_valid(data)


def examples() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", examples())
def test_every_example_of_the_reference_loads(tmp_path: Path, text: str):
    assert loaded(tmp_path, text).items


def test_the_reference_names_every_key():
    known: dict[str, Any] = schema()["$defs"]
    keys = {key for part in known.values() for key in part.get("properties", ())} | set(schema()["properties"])
    text = REFERENCE.read_text(encoding="utf-8")
    assert {key for key in keys if f"`{key}`" not in text} == set()
