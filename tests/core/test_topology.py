"""The names on the broker: a contract with deployments that exist."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checking_core.errors import ConfigurationError
from checking_core.transport import DEFAULT_VHOST, Topology
from checking_core.transport.settings import TopologySettings

TOPOLOGY = Topology()
AGENT = ["windows", "linux", "darwin"]


def test_the_names_are_those_of_existing_deployments():
    assert DEFAULT_VHOST == "/caldera_checking"
    assert TOPOLOGY.exchange == "caldera.checking.exchange"
    assert (TOPOLOGY.dead_exchange, TOPOLOGY.dead_queue) == ("caldera.checking.dead", "caldera.checking.dead")
    assert set(TOPOLOGY.bindings()) == {
        ("caldera.checking.instructions", "caldera.execution.result"),
        ("caldera.checking.api.tasks", "checking.api.task"),
        ("caldera.checking.agent.tasks", "checking.agent.task"),
        ("caldera.checking.api.responses", "checking.api.response"),
        ("caldera.checking.agent.responses", "checking.agent.response"),
    }


def test_each_backend_has_its_own_lane():
    assert TOPOLOGY.task_queue("api", "splunk-prod") == "caldera.checking.api.tasks.splunk-prod"
    assert TOPOLOGY.task_key("api", "splunk-prod") == "checking.api.task.splunk-prod"


def test_a_shared_backend_uses_the_original_queue():
    topology = Topology(shared_backends=frozenset({"old"}))
    assert topology.task_queue("api", "old") == "caldera.checking.api.tasks"
    assert topology.task_key("api", "old") == "checking.api.task"
    assert topology.task_key("api", "new") == "checking.api.task.new"


@pytest.mark.parametrize("kind", AGENT)
def test_agent_tasks_go_to_their_host_whatever_the_backend(kind):
    assert TOPOLOGY.task_queue(kind, "any", "WS01.corp.local") == "caldera.checking.agent.tasks.ws01.corp.local"
    assert TOPOLOGY.task_key(kind, "any", "WS01.corp.local") == "checking.agent.task.ws01.corp.local"


@pytest.mark.parametrize("kind", AGENT)
def test_an_agent_task_without_a_host_goes_to_the_queue_of_all_agents(kind):
    assert TOPOLOGY.task_queue(kind, "any") == "caldera.checking.agent.tasks"
    assert TOPOLOGY.task_key(kind, "any") == "checking.agent.task"


def test_results_go_back_the_way_the_tasks_came():
    assert TOPOLOGY.response_key("api") == "checking.api.response"
    assert {TOPOLOGY.response_key(kind) for kind in AGENT} == {"checking.agent.response"}


def test_task_queues_allow_three_more_deliveries_others_twenty_and_dead_letters_any():
    tasks = [TOPOLOGY.task_queue("api", "splunk"), TOPOLOGY.task_queue("linux", "", "h"), TOPOLOGY.api_tasks_queue]
    assert [TOPOLOGY.delivery_limit(queue) for queue in tasks] == [3, 3, 3]
    assert TOPOLOGY.delivery_limit(TOPOLOGY.instructions_queue) == 20
    assert TOPOLOGY.delivery_limit(TOPOLOGY.api_responses_queue) == 20
    assert TOPOLOGY.delivery_limit(TOPOLOGY.dead_queue) is None


def test_a_prefix_moves_every_name():
    topology = TOPOLOGY.prefixed("lab.")
    before, after = msgspec.structs.asdict(TOPOLOGY), msgspec.structs.asdict(topology)
    assert after.pop("shared_backends") == before.pop("shared_backends")
    assert after == {field: f"lab.{name}" for field, name in before.items()}
    assert topology.task_key("api", "splunk") == "lab.checking.api.task.splunk"


def test_every_queue_knows_its_key():
    for queue, key in TOPOLOGY.bindings():
        assert TOPOLOGY.key_of(queue) == key
    assert TOPOLOGY.key_of(TOPOLOGY.dead_queue) is None
    assert TOPOLOGY.key_of("caldera.checking.api.tasks.") is None
    assert TOPOLOGY.key_of("caldera.checking.api.tasks.#") is None
    assert TOPOLOGY.key_of("caldera.checking.agent.tasks.*") is None


@example("api", "X" * 300, "")
@example("windows", "", "X" * 300)
@given(st.sampled_from(["api", "windows", "unknown"]), st.text(max_size=300), st.text(max_size=300))
def test_any_text_of_an_attacker_makes_a_legal_lane(kind, backend, host):
    """A wildcard would read other hosts' tasks, a name of more than 255 bytes would close the channel."""
    topology = TOPOLOGY.prefixed("p" * 100)
    queue, key = topology.task_queue(kind, backend, host), topology.task_key(kind, backend, host)
    assert topology.key_of(queue) == key
    assert not set("*#") & set(key)
    assert max(len(queue.encode()), len(key.encode())) <= 255
    assert topology.delivery_limit(queue) == 3


@given(st.text(max_size=100), st.text(max_size=100))
def test_two_hosts_never_share_a_lane(one, other):
    same = TOPOLOGY.task_key("windows", "", one) == TOPOLOGY.task_key("windows", "", other)
    assert same == (one.lower() == other.lower())


@pytest.mark.parametrize(("one", "other"), [("a b", "a-b"), ("a b", "a_b"), ("x" * 64, "x" * 65), ("", " ")])
def test_cleaning_keeps_hosts_apart(one, other):
    assert TOPOLOGY.task_key("linux", "", one) != TOPOLOGY.task_key("linux", "", other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"exchange": ""},
        {"api_task_key": "checking.#"},
        {"instructions_queue": "a b"},
        {"dead_queue": "x" * 181},
        {"api_responses_queue": "caldera.checking.agent.responses"},
        {"api_task_key": "checking.agent.task"},
        {"dead_exchange": "caldera.checking.exchange"},
    ],
)
def test_names_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Topology(**wrong)


def test_settings_without_variables_are_the_default_topology():
    assert TopologySettings(_env_file=None).topology() == TOPOLOGY


def test_names_of_the_original_system_are_accepted(monkeypatch):
    originals = {
        "RABBITMQ_EXCHANGE": "exchange",
        "RABBITMQ_INSTRUCTIONS_QUEUE": "instructions_queue",
        "RABBITMQ_API_TASKS_QUEUE": "api_tasks_queue",
        "RABBITMQ_AGENT_TASKS_QUEUE": "agent_tasks_queue",
        "RABBITMQ_API_RESPONSES_QUEUE": "api_responses_queue",
        "RABBITMQ_AGENT_RESPONSES_QUEUE": "agent_responses_queue",
        "ROUTING_KEY_EXECUTION_RESULT": "execution_result_key",
        "ROUTING_KEY_API_TASK": "api_task_key",
        "ROUTING_KEY_AGENT_TASK": "agent_task_key",
        "ROUTING_KEY_API_RESPONSE": "api_response_key",
        "ROUTING_KEY_AGENT_RESPONSE": "agent_response_key",
    }
    for variable in originals:
        monkeypatch.setenv(variable, f"their.{variable.lower()}")
    topology = TopologySettings(_env_file=None).topology()
    assert {field: getattr(topology, field) for field in originals.values()} == {
        field: f"their.{variable.lower()}" for variable, field in originals.items()
    }


def test_our_variable_wins_over_the_original_one(monkeypatch):
    monkeypatch.setenv("CHECKING_EXCHANGE", "ours")
    monkeypatch.setenv("RABBITMQ_EXCHANGE", "theirs")
    monkeypatch.setenv("CHECKING_TOPOLOGY_PREFIX", "lab.")
    monkeypatch.setenv("CHECKING_SHARED_BACKENDS", "old, older,")
    topology = TopologySettings(_env_file=None).topology()
    assert topology.exchange == "lab.ours"
    assert topology.shared_backends == {"old", "older"}
