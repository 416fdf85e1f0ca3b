"""Exports of Caldera: the messages they stand for, and what no export can tell."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checking_core.contracts import (
    Clock,
    ExecutionFacts,
    LinkMessage,
    LinkState,
    MessageType,
    RunState,
    decode_link_message,
)
from checking_core.errors import ConfigurationError, RejectedMessageError
from checking_server.readers import operation_messages, read_messages, report_messages

RECEIVED = datetime(2026, 11, 21, tzinfo=UTC)
SAME_IN_EVERY_FEED = (
    "agent_host",
    "agent_paw",
    "agent_reported_time",
    "cleanup",
    "command",
    "executor",
    "link_state",
    "pid",
    "plaintext_command",
    "platform",
    "run_state",
    "status",
)


def stream(body: bytes) -> BufferedReader:
    return BufferedReader(BytesIO(body))  # type: ignore[type-var]


def decoded(messages: Any) -> list[LinkMessage]:
    return [decode_link_message(getattr(raw, "body", raw), received_at=RECEIVED) for raw in messages]


def read(path: Path) -> list[LinkMessage]:
    return decoded(read_messages(path))


def executions(messages: list[LinkMessage]) -> dict[UUID, ExecutionFacts]:
    return {message.execution.link_id: message.execution for message in messages if message.execution}


def test_an_operation_gives_the_executions_that_its_publisher_sent(shared_data: Path):
    folder = shared_data / "caldera" / "operation_A"
    exported, sent = (executions(read(folder / name)) for name in ("operation.json", "plugin_messages.jsonl"))
    assert len(exported) == 9
    for link, facts in exported.items():
        told = sent[link]
        for field in SAME_IN_EVERY_FEED:
            assert getattr(facts, field) == getattr(told, field), field
        assert (facts.clock, facts.hints) == (told.clock, told.hints)
        assert facts.procedure.id == told.procedure.id
        assert facts.procedure.technique_id == told.procedure.technique_id
        assert facts.finished_at is not None
        assert told.finished_at is not None
        for ours, theirs in ((facts.started_at, told.started_at), (facts.finished_at, told.finished_at)):
            assert abs((ours - theirs).total_seconds()) < 1, "an export counts in seconds"


def test_an_operation_tells_the_agent_and_the_recipe(shared_data: Path):
    found = executions(read(shared_data / "caldera" / "operation_A" / "operation.json"))
    assert {(facts.agent.user, facts.agent.pid, facts.agent.exe_name) for facts in found.values()} == {
        ("user", 1, "splunkd")
    }
    assert all(facts.agent.ips for facts in found.values())
    recipes = Counter(facts.procedure.fingerprint for facts in found.values())
    assert sorted(recipes.values()) == [1, 1, 1, 1, 1, 1, 3], "three links of one ability are one recipe"


def test_the_state_of_an_operation_comes_last(shared_data: Path):
    for name in ("operation.json", "report.json"):
        *links, state = read(shared_data / "caldera" / "operation_A" / name)
        assert {message.message_type for message in links} == {MessageType.LINK_RESULT}
        assert (state.message_type, state.operation.state) == (MessageType.OPERATION_STATE, "finished")
        assert state.timestamp >= max(message.timestamp for message in links)


def test_the_same_file_gives_the_same_messages(shared_data: Path):
    for name in ("operation.json", "report.json"):
        path = shared_data / "caldera" / "operation_A" / name
        assert list(read_messages(path)) == list(read_messages(path))


def test_a_report_gives_the_same_executions_under_an_id_of_its_own(shared_data: Path):
    folder = shared_data / "caldera" / "operation_A"
    operation, report = read(folder / "operation.json"), read(folder / "report.json")
    exported, told = executions(operation), executions(report)
    assert exported.keys() == told.keys()
    for link, facts in told.items():
        for field in ("agent", *SAME_IN_EVERY_FEED):
            assert getattr(facts, field) == getattr(exported[link], field), field
        assert facts.clock is Clock.AGENT
    assert {message.operation.operation_id for message in report}.isdisjoint({operation[0].operation.operation_id})
    assert report[0].operation.source_id == "DV operation A 2026-11-20T19:27:12Z"


def test_a_report_carries_the_output(shared_data: Path):
    found = executions(read(shared_data / "caldera" / "operation_A" / "report.json"))
    outputs = [facts.result_data for facts in found.values()]
    assert {"stdout": "user", "stderr": "", "exit_code": "0"} in outputs
    without = executions(read(shared_data / "caldera" / "operation_A" / "report_no_output.json"))
    assert {facts.result_data for facts in without.values()} == {None}


def test_links_that_failed_were_discarded_or_lost_are_told_as_such(shared_data: Path):
    folder = shared_data / "caldera" / "edge_cases"
    states = [message.execution.run_state for message in read(folder / "operation.json") if message.execution]
    assert states == [RunState.FAILED, RunState.RAN, RunState.NEVER_RAN, RunState.RAN]
    [lost, _] = read(folder / "operation_result_lost_during_restart.json")
    assert lost.execution is not None
    assert (lost.message_type, lost.execution.run_state) == (MessageType.LINK_STATUS, RunState.LOST)


@pytest.mark.parametrize("name", ["operation_A/links.json", "edge_cases/manual_approval_links.json"])
def test_links_without_their_operation_are_refused(shared_data: Path, name: str):
    with pytest.raises(ConfigurationError, match=f"{name}: holds links without their operation"):
        list(read_messages(shared_data / "caldera" / name))


@pytest.mark.parametrize(
    "name", ["abilities.json", "agents.json", "operations_list_include.json", "operation_A/event_logs.json"]
)
def test_other_exports_of_caldera_are_refused(shared_data: Path, name: str):
    with pytest.raises(ConfigurationError, match="holds neither messages nor operations"):
        list(read_messages(shared_data / "caldera" / name))


def test_a_list_of_operations_is_read_one_after_the_other(shared_data: Path):
    folder = shared_data / "caldera"
    both = [json.loads((folder / name / "operation.json").read_bytes()) for name in ("operation_A", "edge_cases")]
    found = decoded(read_messages(stream(json.dumps(both).encode())))
    assert Counter(message.operation.name for message in found) == {"DV operation A": 10, "DV edge": 5}


def link(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"id": "571fb0b5-7d38-4f4f-8a36-1c6ab5f0d2c3", "paw": "tgtbbb", "status": 0, "host": "ws01"}
    return told | changes


def converted(*links: dict[str, Any], **changes: Any) -> list[LinkMessage]:
    operation: dict[str, Any] = {"id": "op-1", "start": "2026-11-20T19:00:00Z", "chain": list(links)}
    return decoded(operation_messages(operation | changes).messages)


def test_the_recipe_of_a_cleanup_link_is_not_that_of_its_ability():
    executor = {"name": "sh", "platform": "linux", "command": "make #{x}"}
    done, cleaned = converted(
        link(command="make 1", executor=executor), link(id="2", command="rm 1", executor=executor, cleanup=1)
    )[:2]
    assert done.execution is not None
    assert cleaned.execution is not None
    assert cleaned.execution.cleanup
    assert done.execution.procedure.fingerprint != cleaned.execution.procedure.fingerprint


def test_a_status_of_an_agents_own_is_an_error_that_ran():
    facts = converted(link(status=137))[0].execution
    assert facts is not None
    assert (facts.status, facts.link_state, facts.run_state) == (137, LinkState.ERROR, RunState.FAILED)


def test_a_link_without_a_host_takes_that_of_its_agent():
    agents = [{"paw": "tgtbbb", "host": "ws02", "host_ip_addrs": ["192.0.2.7"], "pid": "42"}]
    facts = converted(link(host=None), host_group=agents)[0].execution
    assert facts is not None
    assert (facts.agent_host, facts.agent.ips, facts.agent.pid) == ("ws02", ("192.0.2.7",), 42)


def test_a_link_that_tells_no_time_takes_the_operations_start():
    assert converted(link())[0].timestamp == datetime(2026, 11, 20, 19, tzinfo=UTC)


def test_hints_come_from_the_abilitys_additional_info():
    hinted = "[{'detection_type': 'api', 'detection_platform': 'splunk', 'detection_config': {'query': 'x'}}]"
    facts = converted(link(ability={"additional_info": {"detections": hinted}}))[0].execution
    assert facts is not None
    assert [(hint.platform, hint.config) for hint in facts.hints] == [("splunk", {"query": "x"})]


def report(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    told = {
        "name": "nightly",
        "start": "2026-11-20T19:00:00Z",
        "host_group": [{"paw": "a", "host": "ws01"}],
        "steps": {"a": {"steps": list(steps)}},
    }
    return told | changes


def test_skipped_abilities_of_a_report_are_counted():
    skipped = [{"a": [{"reason_id": 1}, {"reason_id": 2}]}, {"b": [{"reason_id": 1}]}, {"c": []}]
    found = report_messages(report(skipped_abilities=skipped))
    assert (len(found.messages), found.skipped) == (1, 3)


def test_steps_of_a_report_without_link_ids_stay_apart():
    step = {"status": 0, "command": "whoami", "run": "2026-11-20T19:00:05Z"}
    first, again = (decoded(report_messages(report(step, step)).messages) for _ in range(2))
    assert len(executions(first)) == 2
    assert executions(first) == executions(again)


def test_output_is_cut_so_that_the_message_stays_within_the_limit():
    output = {"stdout": "\x01" * 3_000_000, "stderr": "\x02" * 3_000_000, "exit_code": "0"}
    [message, _] = decoded(report_messages(report({"status": 0, "output": output})).messages)
    assert message.execution is not None
    assert len(message.execution.result_data["stdout"]) == 64 * 1024
    assert message.execution.result_data["truncated"] is True


def test_half_a_character_in_what_a_target_printed_does_not_cost_the_report():
    body = json.dumps(report({"status": 0, "output": {"stdout": "\ud800"}})).encode()
    [message, _] = decoded(read_messages(stream(body)))
    assert message.execution is not None
    assert message.execution.result_data == {"stdout": "\ufffd"}


JUNK = st.sampled_from([None, "", "text", 0, -7, 2**80, 1.5, True, [], {}, [1], {"a": 1}, "\x00", "\ud800", "x" * 2000])


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data(), junk=JUNK, name=st.sampled_from(["operation.json", "report.json"]))
def test_a_damaged_export_gives_messages_rejections_or_one_refusal(
    shared_data: Path, data: st.DataObject, junk: Any, name: str
):
    document = json.loads((shared_data / "caldera" / "operation_A" / name).read_bytes())
    holder, key = data.draw(st.sampled_from(places(document)))
    holder[key] = junk
    try:
        found = list(read_messages(stream(json.dumps(document).encode())))
    except ConfigurationError:
        return
    for raw in found:
        with suppress(RejectedMessageError):
            assert decode_link_message(raw.body, received_at=RECEIVED).raw


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for key, item in pairs for place in [(value, key), *places(item)]]
