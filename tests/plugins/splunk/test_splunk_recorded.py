"""What real search heads answered."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from checking_core import Outcome, Reason
from checking_core.plugin.http import HttpReply
from checking_core.testing import ENDED
from checking_plugin_splunk.messages import failure_from, gaps_in, messages_in, raise_failure
from checking_plugin_splunk.records import event_of

from .splunk_head import SEARCH, SearchHead, recorded, told


@pytest.mark.parametrize(
    ("name", "reason", "final"),
    [
        ("xml_bad_command_400", Reason.QUERY_INVALID, True),
        ("xml_unauthorized_401", Reason.BACKEND_AUTH_FAILED, True),
        ("xml_login_failed_401", Reason.BACKEND_AUTH_FAILED, True),
    ],
)
async def test_a_recorded_refusal_is_told_in_the_words_of_splunk(
    head: SearchHead, shared_data: Path, name: str, reason: Reason, final: bool
) -> None:
    answer = recorded(shared_data, name)
    head.say("create", answer)
    result = await head.look(SEARCH)
    assert (result.reason, result.final) == (reason, final)
    words = re.search(r"<msg[^>]*>([^<]+)", answer.text)
    assert words is not None
    assert words[1] in str(result.result_metadata)


@pytest.mark.parametrize("name", ["xml_export_200_with_FATAL", "xml_oneshot_200_with_FATAL", "xml_export_previews_200"])
async def test_a_recorded_failure_with_status_200_is_no_silence(head: SearchHead, shared_data: Path, name: str) -> None:
    one = told(shared_data, name)
    messages = [
        {"type": kind, "text": text} for kind, text in re.findall(r'<msg type="(\w+)">([^<]*)', one["body_xml"])
    ]
    for answer in (httpx.Response(200, text=one["body_xml"]), httpx.Response(200, json={"messages": messages})):
        head.say("results", answer)
        assert (await head.look(SEARCH)).outcome is Outcome.INCONCLUSIVE


async def test_a_recorded_stream_of_previews_is_no_page(head: SearchHead, shared_data: Path) -> None:
    text = (shared_data / "backends" / "splunk" / "javasdk_resultsExport.json").read_text(encoding="utf-8")
    head.say("results", httpx.Response(200, text=text))
    assert (await head.look(SEARCH)).reason is Reason.BACKEND_UNREACHABLE


@pytest.mark.parametrize("name", ["javasdk_results-empty", "javasdk_export_results"])
async def test_recorded_results_in_another_form_are_no_silence(head: SearchHead, shared_data: Path, name: str) -> None:
    text = (shared_data / "backends" / "splunk" / f"{name}.xml").read_text(encoding="utf-8")
    head.say("results", httpx.Response(200, text=text))
    assert (await head.look(SEARCH)).reason is Reason.BACKEND_UNREACHABLE


@pytest.mark.parametrize("name", ["javasdk_resultsMV5", "javasdk_resultsMVOneshot5"])
def test_a_recorded_event_is_read(shared_data: Path, name: str) -> None:
    (row,) = told(shared_data, name)["results"]
    event = event_of(row)
    assert event.id == f"{row['_bkt']}@{row['_cd']}"
    assert event.hosts == ("dfoster-mbp17.local",)
    assert event.event_at is not None
    assert event.indexed_at == datetime.fromtimestamp(int(row["_indextime"]), UTC)
    assert event.title == row["_raw"]


def test_recorded_sums_have_names_of_their_own(shared_data: Path) -> None:
    rows = told(shared_data, "javasdk_results5")["results"]
    events = [event_of(row) for row in rows]
    assert len({event.id for event in events}) == len(rows) == 3
    assert events[0].id == event_of({**rows[0], "_serial": "9"}).id


def test_recorded_results_in_xml_name_their_host_and_time(shared_data: Path) -> None:
    xml = told(shared_data, "xml_results_200")["body_xml"]
    first = xml.partition("offset='1'")[0]
    row = dict(re.findall(r"<field k='(\w+)'>\s*<value[^>]*><text>([^<]*)</text>", first))
    event = event_of(row)
    assert (event.hosts, event.id) == (("DNoble-MSW8",), f"{row['_bkt']}@{row['_cd']}")


def test_each_recorded_error_is_one(shared_data: Path) -> None:
    cases = told(shared_data, "json_errors")["cases"]
    seen = {}
    for name, case in cases.items():
        body = json.dumps(case["body"]).encode()
        status = case.get("status") if isinstance(case.get("status"), int) else 503
        reply = HttpReply(status=status, headers={}, body=body, received_at=ENDED)
        seen[name] = failure_from(reply).reason
    assert seen == {
        "401_bad_token": "backend_auth_failed",
        "401_basic": "backend_auth_failed",
        "401_login": "backend_auth_failed",
        "400_unknown_command": "query_invalid",
        "404_unknown_sid": "query_invalid",
        "503_concurrency": "backend_rate_limited",
        "200_concurrency_warn_seen": "backend_rate_limited",
        "400_results_of_failed_job": "query_invalid",
        "wlm_denied": "backend_unreachable",
    }


def test_messages_that_only_explain_are_no_gap() -> None:
    said_so = messages_in(
        {"messages": [{"type": "DEBUG", "text": "truncating the base lispy"}, {"type": "INFO", "text": "x"}]}
    )
    raise_failure(said_so)
    assert gaps_in(said_so) == ()
