"""What a check means: a rule by any of its names, a selection, words, or nothing that can be asked."""

from __future__ import annotations

import pytest

from checking_core.contracts import (
    Outcome,
    Reason,
)

from .rules_and_events import ID, rule_text
from .site import CREATION, LSASS, ask, start


@pytest.mark.parametrize(
    "config",
    [
        {"sigma": LSASS},
        {"sigma": "lsass.yml"},
        {"sigma": "rules/lsass.yml"},
        {"sigma": ID},
        {"sigma": "LSASS dump"},
        {"sigma": {"title": "x", "logsource": CREATION, "detection": {"s": ["MiniDump"], "condition": "s"}}},
        {"rule": {"query": LSASS}},
        {"query": "{Image|endswith: rundll32.exe, CommandLine|contains: MiniDump}"},
        {"sigma": "[{Image|endswith: cmd.exe}, {Image|endswith: rundll32.exe}]"},
        {"sigma": "Image|endswith: rundll32.exe"},
        {"query": '"comsvcs.dll MiniDump"'},
        {"query": '["comsvcs.dll", "nothing"]'},
        {"query": "*"},
        {"query": "{Computer|startswith: ${agent_host}, CommandLine|contains: MiniDump}"},
    ],
)  # fmt: skip
async def test_a_rule_may_be_named_or_written_in_every_way(site, config):
    site.write(start())
    assert (await ask(site.detector(), detection_config=config)).outcome is Outcome.MATCHED


@pytest.mark.parametrize(
    ("config", "reason", "words"),
    [
        ({"sigma": "lsas.yml"}, Reason.QUERY_INVALID, "did you mean lsass.yml"),
        ({"sigma": "../../etc/secret.yml"}, Reason.QUERY_INVALID, "holds no"),
        ({"sigma": "title: x\ndetection: {}"}, Reason.NOT_CONVERTIBLE, "log source"),
        ({"sigma": rule_text({"A|expand": "%x%"})}, Reason.NOT_CONVERTIBLE, "no values are given"),
        (
            {"query": "{Image|contain: x}"},
            Reason.NOT_CONVERTIBLE,
            "query has the unknown modifier contain; did you mean contains?",
        ),
        ({"sigma": "attack.t1566"}, Reason.QUERY_INVALID, "no rule of the folder has the tag attack.t1566"),
        ({"query": "{Computer: '${agent_host}'}"}, Reason.QUERY_INVALID, "quotes"),
    ],
)
async def test_a_question_that_cannot_be_asked_is_inconclusive_and_says_why(site, config, reason, words):
    result = await ask(site.detector(), detection_config=config)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, reason)
    assert words in result.result_metadata["error"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("LSASS dmup", "no rule is called LSASS dmup; did you mean LSASS dump?"),
        ("lsass", "did you mean lsass.yml?"),
        (ID.replace("5", "6"), f"did you mean {ID}?"),
        ("MiniDump", "no rule is called MiniDump; words to look for need quotes"),
        ("{CommandLine|contains: MiniDump", "is no YAML, see line 1, column"),
        ("[MiniDump", "is no YAML, see line 1"),
        ("title: x\ndetection:\n  s: {A: x\n  condition: s", "is no YAML, see line 4"),
        ("rundll32\nMiniDump", "neither a rule nor a selection"),
        ("4688", "no rule is called 4688"),
    ],
)
@pytest.mark.parametrize("section", ["sigma", "query"])
async def test_what_is_mistyped_is_no_word_to_look_for_and_no_miss(site, section, text, words):
    site.write(start(CommandLine="whoami"))
    result = await ask(site.detector(), detection_config={section: text})
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.QUERY_INVALID)
    assert words in result.result_metadata["error"]
    assert words in site.detector().rule_problem(text)


@pytest.mark.parametrize("text", ['"MiniDump"', "'MiniDump'", "[MiniDump, x]", "*"])
async def test_words_to_look_for_are_no_sigma_rule(site, text):
    site.write(start())
    assert (await ask(site.detector(), detection_config={"sigma": text})).reason is Reason.QUERY_INVALID
    assert "words" in site.detector().rule_problem(text)


async def test_a_rule_without_its_detection_is_no_selection(site):
    site.write(start(CommandLine="whoami"))
    config = {"sigma": {"title": "x", "logsource": CREATION, "detecton": {"s": ["x"], "condition": "s"}}}
    assert (await ask(site.detector(), detection_config=config)).reason is Reason.NOT_CONVERTIBLE
