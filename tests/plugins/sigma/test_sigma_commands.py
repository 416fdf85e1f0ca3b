"""``checking sigma``: one survey of rules and telemetry, and the proof that verdicts follow the telemetry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from checking_plugin_sigma.evaluate.actions import actions_of
from checking_plugin_sigma.evaluate.scan import Scanner
from checking_plugin_sigma.rules.load import load_rules
from checking_plugin_sigma.survey import layer_of, survey
from checking_server import cli

from .rules_and_events import a_rule, rule_text

CORRELATION = "title: Many logons\ncorrelation: {type: event_count}\n"
EVENTS = [
    {"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1, "Computer": "ws01", "Image": r"C:\whoami.exe"},
    {"Channel": "Security", "EventID": 4688, "Computer": "ws01", "NewProcessName": r"C:\id.exe"},
]
CREATION = {"product": "windows", "category": "process_creation"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rules of every kind, some telemetry, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rules = tmp_path / "rules"
    rules.mkdir()
    own = {"one": ("Hits", {"Image|endswith": "whoami.exe"}, CREATION), "two": ("Is silent", {"A": "x"}, CREATION)}
    for name, (title, selection, logsource) in own.items():
        (rules / f"{name}.yml").write_text(rule_text(selection, title=title, logsource=logsource))
    other = rule_text(
        {"A": "x"}, title="Has nothing to look at", tags=["attack.t1562.001"], logsource={"product": "aws"}
    )
    (rules / "three.yml").write_text(other)
    (rules / "four.yml").write_text(CORRELATION)
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["checking", "sigma", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


def scan(monkeypatch, folder: Path, *words: object) -> int:
    return run(monkeypatch, "scan", "--rules", folder / "rules", "--events", folder / "log.jsonl", *words)


def test_a_survey_says_which_rules_hit_and_why_the_others_did_not(folder, monkeypatch, capsys):
    assert scan(monkeypatch, folder) == 1
    told = capsys.readouterr().out
    assert "Hits (by An Author)" in told
    assert "4 rules: 2 evaluated, 1 without any event of their log source, 1 refused." in told
    assert "1 rules hit. 2 events in 1 files, 0 unreadable." in told
    assert "Refused: Many logons is a correlation rule" in told


def test_a_scan_with_a_warm_cache_loads_no_parser_no_detector_and_no_log(folder):
    """A verdict of one rule on one small file has to come at once: what a scan does not need costs half of its time."""
    words = ["sigma", "scan", "--rules", str(folder / "rules/one.yml"), "--events", str(folder / "log.jsonl")]
    script = (
        f"import sys; sys.argv = ['checking', *{words!r}]\n"
        "from checking_server import cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({'sigma', 'structlog', 'pydantic_settings', 'sqlalchemy', 'litestar'} & set(sys.modules)))\n"
    )
    cold, warm = (
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    )
    assert "1 rules hit." in warm
    assert (cold.splitlines()[-1], warm.splitlines()[-1]) == ("['sigma']", "[]")


def test_a_survey_as_json_adds_up_to_the_rules_that_were_given(folder, monkeypatch, capsys):
    scan(monkeypatch, folder, "--format", "json")
    told = json.loads(capsys.readouterr().out)
    assert told["given"] == told["evaluated"] + len(told["not_evaluable"]) + len(told["refused"]) + told["left_out"]
    (hit,) = told["hits"]
    assert (hit["title"], hit["author"], hit["first"], hit["hosts"]) == ("Hits", "An Author", ["log.jsonl:1"], ["ws01"])
    assert [rule["title"] for rule in told["not_evaluable"]] == ["Has nothing to look at"]


def test_a_survey_as_a_layer_scores_techniques_and_names_authors(folder, monkeypatch, capsys):
    scan(monkeypatch, folder, "--format", "navigator")
    layer = json.loads(capsys.readouterr().out)
    assert layer["techniques"] == [{"techniqueID": "T1059.001", "score": 1, "comment": "Hits (by An Author)"}]
    assert layer["domain"] == "enterprise-attack"


@pytest.mark.parametrize(("technique", "asked"), [("T1059", 2), ("t1059.001", 2), ("T1685", 1), ("T1003", 0)])
def test_a_survey_of_one_technique_counts_the_others_and_follows_renamed_ids(technique, asked, folder):
    found = survey(load_rules(folder / "rules"), [folder / "log.jsonl"], technique=technique)
    assert found.left_out == 3 - asked
    assert found.given == found.evaluated + len(found.not_evaluable) + len(found.refused) + found.left_out == 4


def test_a_survey_without_a_hit_is_an_empty_layer(folder):
    assert layer_of(survey(load_rules(folder / "rules" / "two.yml"), [folder / "log.jsonl"]))["techniques"] == []


def test_without_anything_refused_a_survey_ends_well(folder, monkeypatch):
    (folder / "rules" / "four.yml").unlink()
    assert scan(monkeypatch, folder) == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("scan", "--rules", "nowhere", "--events", "x"), "--rules: nowhere is neither a rule nor a folder of rules"),
        (("selftest", "--rules", "nowhere", "--events", "x"), "--rules: nowhere is neither"),
        (("scan", "--rules", "{}/rules", "--events", "nowhere"), "--events: nowhere: there is no such file"),
        (
            ("scan", "--rules", "{}/rules", "--events", "{}/log.jsonl", "--technique", "T9"),
            "--technique: no rule is tagged with T9",
        ),
        (
            ("scan", "--rules", "{}/rules", "--events", "{}/log.jsonl", "--technique", "T1003"),
            "--technique: no rule is tagged with T1003",
        ),
        (("scan", "--rules", "{}/rules"), "events"),
        (("selftest", "--rules", "{}/rules"), "go together"),
        (("selftest", "--rules", "{}/rules/two.yml", "--events", "{}/log.jsonl"), "no rule hits"),
        (
            ("selftest", "--rules", "{}/rules", "--events", "{}/log.jsonl", "--time-zone", "Middle/Earth"),
            "no time zone",
        ),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(words, problem, folder, monkeypatch, capsys):
    assert run(monkeypatch, *(word.format(folder) for word in words)) == 2
    told = capsys.readouterr().err
    assert problem in told
    assert len(told.splitlines()) == 1


def test_the_self_test_flips_every_verdict(folder, monkeypatch, capsys):
    words = ("selftest", "--rules", folder / "rules", "--events", folder / "log.jsonl")
    assert run(monkeypatch, *words) == 0
    told = capsys.readouterr().out
    assert "Hits: unchanged: matched (matched_rule), as it should be" in told
    assert "Hits: on another host: " in told
    assert "5 verdicts of 1 rules, 0 of them wrong." in told


def test_the_self_test_convicts_a_rule_that_hits_whatever_happens(folder, monkeypatch, capsys):
    rule = rule_text(None, title="Anything", detection={"s": {"A": "x"}, "condition": "not s"}, logsource=CREATION)
    (folder / "rules" / "one.yml").write_text(rule)
    words = ("selftest", "--rules", folder / "rules" / "one.yml", "--events", folder / "log.jsonl")
    assert run(monkeypatch, *words) == 1
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.shared
def test_the_self_test_flips_every_verdict_about_recorded_attacks(shared_data, folder, monkeypatch, capsys):
    recording = shared_data / "sigma" / "psh_lsass_memory_dump_comsvcs.jsonl.gz"
    assert run(monkeypatch, "selftest", "--rules", shared_data / "sigma" / "rules", "--events", recording) == 0
    assert "65 verdicts of 13 rules, 0 of them wrong." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("recording", "rule"),
    [
        ("psh_lsass_memory_dump_comsvcs", "proc_creation_win_rundll32_process_dump_via_comsvcs"),
        ("cmd_bitsadmin_download_psh_script", "proc_creation_win_bitsadmin_download"),
        ("cmd_mshta_vbscript_execute_psh", "proc_creation_win_mshta_inline_vbscript"),
    ],
)
def test_what_sysmon_and_security_recorded_both_is_one_action(recording, rule, shared_data):
    (compiled,) = load_rules(shared_data / "sigma" / "rules" / f"{rule}.yml").rules
    hits = list(Scanner([compiled]).scan(shared_data / "sigma" / f"{recording}.jsonl.gz"))
    assert (len(hits), len(actions_of(hits))) == (2, 1)


def test_compiled_rules_are_kept_until_anything_changes(folder):
    from checking_plugin_sigma.rules.cache import RuleCache

    cache, rules = RuleCache(folder / "kept"), folder / "rules"
    first = load_rules(rules, cache=cache)
    assert load_rules(rules, cache=cache) == first == load_rules(rules)
    assert len(list((folder / "kept").glob("*.msgpack"))) == 1
    (rules / "two.yml").write_text(rule_text({"A": "y"}))
    assert load_rules(rules, cache=cache) != first
    assert load_rules(rules, cache=cache, placeholders={"x": ["y"]}).given == first.given
    assert len(list((folder / "kept").glob("*.msgpack"))) == 3


def test_a_broken_or_forbidden_cache_costs_time_and_nothing_else(folder):
    from checking_plugin_sigma.rules.cache import RuleCache

    cache, rules = RuleCache(folder / "kept"), folder / "rules"
    first = load_rules(rules, cache=cache)
    for entry in (folder / "kept").iterdir():
        entry.write_bytes(b"nonsense")
    assert load_rules(rules, cache=cache) == first
    (folder / "file").touch()
    assert load_rules(rules, cache=RuleCache(folder / "file" / "below")) == first


def test_a_compiled_rule_needs_no_pysigma(folder):
    """It takes ten times as long to import as everything else together."""
    import subprocess

    from checking_plugin_sigma.rules.cache import RuleCache

    load_rules(folder / "rules", cache=RuleCache(folder / "kept"))
    code = (
        "import sys; from pathlib import Path; from checking_plugin_sigma.rules.cache import RuleCache;"
        "from checking_plugin_sigma.rules.load import load_rules;"
        "print(load_rules(Path('rules'), cache=RuleCache(Path('kept'))).given, 'sigma' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "False"]


def test_a_rule_without_an_id_is_named_by_its_content():
    assert a_rule({"A": "x"}, id=None).id.startswith("sha256:")


ELASTIC = {"ELASTIC_URL": "https://es.example", "ELASTIC_API_KEY": "x", "ELASTIC_INDEX": "logs-*"}


@pytest.fixture
def _elastic(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name, value in ELASTIC.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_elastic")
def test_a_rule_is_shown_as_the_query_that_a_backend_asks(folder, monkeypatch, capsys):
    assert run(monkeypatch, "convert", folder / "rules" / "one.yml", "--to", "elastic") == 0
    assert capsys.readouterr().out == ('process where event.type == "start" and (process.executable:"*whoami.exe")\n')


@pytest.mark.usefixtures("_elastic")
def test_a_rule_that_would_lose_something_is_refused_in_words(folder, monkeypatch, capsys):
    assert run(monkeypatch, "convert", folder / "rules" / "three.yml", "--to", "elastic") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "three.yml cannot be asked of elastic: there are no fields of ECS for aws" in told.err


@pytest.mark.usefixtures("_elastic")
@pytest.mark.parametrize(("backend", "words"), [("nowhere", "there are: "), ("mock", "searches nothing")])
def test_only_a_backend_that_searches_can_be_asked_a_rule(folder, monkeypatch, capsys, backend, words):
    assert run(monkeypatch, "convert", folder / "rules" / "one.yml", "--to", backend) == 2
    assert words in capsys.readouterr().err
