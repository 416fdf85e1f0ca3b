"""Hints in a message: four historical spellings, broken entries, and credentials that must not be kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checking_core.contracts import Hint, LinkMessage

from .wire import link_result, read

ENTRY = {
    "detection_type": "api",
    "detection_platform": "splunk",
    "max_retries": 3,
    "detection_config": {"query": "index=security user=administrator", "before_reported_time": 900},
}
HINT = Hint(
    detection_type="api",
    platform="splunk",
    config={"query": "index=security user=administrator", "before_reported_time": 900},
    max_retries=3,
)


def hints(detections: Any) -> tuple[Hint, ...]:
    return message(detections).execution.hints  # type: ignore[union-attr]


def message(detections: Any) -> LinkMessage:
    return read(link_result(detections=detections))


@pytest.mark.parametrize("given", [[ENTRY], ENTRY, json.dumps([ENTRY]), repr([ENTRY]), repr((ENTRY,)), f" {ENTRY!r} "])
def test_every_spelling_of_the_list_gives_the_same_hint(given: Any):
    assert hints(given) == (HINT,)


@pytest.mark.parametrize("pack", [lambda nested: nested, json.dumps, repr])
def test_the_older_nested_form_is_unfolded(pack: Any):
    nested = {
        "api": {"siem": {"query": "user:root", "platform": "splunk"}},
        "agent": {"windows": {"command": "Get-EventLog Security", "platform": "powershell", "max_retries": 2}},
    }
    assert hints(pack(nested)) == (
        Hint(detection_type="api", platform="splunk", config={"query": "user:root"}),
        Hint(
            detection_type="windows", platform="powershell", config={"command": "Get-EventLog Security"}, max_retries=2
        ),
    )


@pytest.mark.parametrize("nothing", [None, "", " ", [], {}, "[]", "null", "None"])
def test_no_hint_is_no_hint(nothing: Any):
    assert hints(nothing) == ()


def test_one_bad_entry_is_told_and_the_others_go_on():
    found = hints([ENTRY, "splunk", {"detection_type": "api"}, {**ENTRY, "max_retries": "many"}, ENTRY])
    assert [bool(hint.problem) for hint in found] == [False, True, True, True, False]
    assert found[0] == found[-1] == HINT


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"detection_type": 7}, "detection_type"),
        ({"detection_type": "vms"}, "detection_type"),
        ({"detection_type": "x" * 5000}, "detection_type"),
        ({"detection_config": None}, "detection_config"),
        ({"detection_config": "index=main"}, "detection_config"),
        ({"max_retries": True}, "max_retries"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 10**30}, "max_retries"),
        ({"max_retries": [3]}, "max_retries"),
    ],
)
def test_what_is_wrong_with_a_hint_is_said_without_repeating_it(change: dict[str, Any], problem: str):
    (hint,) = hints([{**ENTRY, **change}])
    assert hint.problem is not None
    assert hint.problem.startswith(problem)
    assert len(hint.problem) < 200


@pytest.mark.parametrize(("given", "kept"), [("3", 3), (3.0, 3), (0, 0), (None, None)])
def test_retries_come_as_a_number_or_as_text(given: Any, kept: int | None):
    assert hints([{**ENTRY, "max_retries": given}])[0].max_retries == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("splunk", "splunk"),
        (" Splunk-Prod ", "splunk-prod"),
        ("my siem", None),
        ("x" * 41, None),
        (7, None),
        (None, None),
    ],
)
def test_a_platform_that_can_name_no_backend_is_no_platform(given: Any, kept: str | None):
    (hint,) = hints([{**ENTRY, "detection_platform": given}])
    assert (hint.platform, hint.problem) == (kept, None)


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[{", "__import__('os')", "{**{}}", "1j", "...", "{None: 1}", "{(1,): 2}", "-" * 60_000 + "1",
     "1" + "+1" * 20_000, "[" * 60_000, "9" * 5000, "'\\ud800'", "[0]*9", "x" * 65_537, "lambda: 0"],
)  # fmt: skip
def test_text_that_cannot_be_read_is_one_hint_with_the_problem(text: str):
    (hint,) = hints(text)
    assert hint.problem is not None
    assert len(hint.problem) < 200


def test_a_python_literal_becomes_plain_json():
    (hint,) = hints(
        "[{'detection_config': {'query': 'x', 1: (1, 2), 'set': {3}, 'inf': 1e999, 'nul': '\\x00', 'b': b'x'}}]"
    )
    assert hint.config == {"query": "x", "1": [1, 2], "set": [3], "inf": None, "nul": "�", "b": "eA=="}


def test_a_literal_with_an_unknown_escape_is_read_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]):
    (hint,) = hints(r"[{'detection_config': {'query': 'C:\d+'}}]")
    assert hint.config == {"query": r"C:\d+"}
    assert capfd.readouterr() == ("", "")


def test_a_crowd_of_hints_is_cut_and_told():
    found = hints([ENTRY] * 5000)
    assert len(found) == 101
    assert found[-1].problem is not None


# --- credentials ---------------------------------------------------------------------------------------------

CARRIED = {
    "query": "index=main token=* password",
    "headers": {"Authorization": "Bearer hunter2"},
    "api_key": "hunter2",
    "parameters": [{"clientSecret": "hunter2", "page": 1}],
    "endpoint": {"auth_token": "hunter2", "path": "/search"},
}


@pytest.mark.parametrize("pack", [lambda entries: entries, json.dumps, repr])
def test_credentials_in_a_hint_are_neither_used_nor_kept(pack: Any):
    kept = message(pack([{**ENTRY, "detection_config": CARRIED}]))
    assert kept.execution is not None
    assert kept.execution.hints[0].config == {
        "query": "index=main token=* password",
        "parameters": [{"page": 1}],
        "endpoint": {"path": "/search"},
    }
    assert "hunter2" not in kept.raw
    assert json.loads(kept.raw)["execution"]["agent_host"] == "ws01"


def test_the_copies_a_publisher_makes_of_a_hint_are_not_kept_either():
    entries = [{**ENTRY, "detection_config": CARRIED}]
    copies = {"detections": repr(entries)}
    kept = read(link_result(detections=entries, additional_info=copies, ability={"additional_info": copies}))
    assert "hunter2" not in kept.raw


def test_text_that_cannot_be_read_is_not_kept_for_it_may_hold_credentials():
    assert "hunter2" not in message("[{'api_key': 'hunter2', ").raw


@pytest.mark.parametrize(
    "config",
    [
        {"query": "index=main password token secret api_key=* headers"},
        {"rule": {"query": "CommandLine=*--password*"}, "alert": {"rule": "Cookie theft"}},
        {"sigma": {"detection": {"sel": {"TokenElevationType": 2, "Headers": "x", "Password": "*"}}}},
        {"match": {"user": "token"}, "monkey": 1, "TokenElevationType": "%%1937", "PasswordLastSet": "-"},
    ],
)
def test_words_in_queries_and_names_of_telemetry_are_no_credentials(config: dict[str, Any]):
    body = json.dumps(link_result(detections=[{**ENTRY, "detection_config": config}])).encode()
    kept = read(body)
    assert kept.execution is not None
    assert kept.execution.hints[0].config == config
    assert kept.raw == body.decode()


def test_a_deep_message_with_credentials_is_read_or_rejected_cleanly():
    entry = {**ENTRY, "detection_config": CARRIED}
    body = json.dumps(link_result(detections=[entry], unknown="HERE")).encode()
    kept = read(body.replace(b'"HERE"', b"[" * 500 + b"]" * 500))
    assert "hunter2" not in kept.raw
