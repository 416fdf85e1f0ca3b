"""Settings: where values come from, what they may be, how a wrong one is told, and that each is documented."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from checking_core.errors import ConfigurationError
from checking_core.log import MASK
from checking_core.settings import (
    BackendSettings,
    BackendsSettings,
    BrokerRole,
    BrokerSettings,
    DatabaseSettings,
    HintsMode,
    LogSettings,
    Origin,
    PlanSettings,
    WorkerSettings,
    describe,
    read,
)
from checking_core.transport.settings import TopologySettings
from checking_server.settings import ApiSettings, FlowSettings, MetricsSettings

ROOMS: list[type[BaseSettings]] = [
    *(DatabaseSettings, BrokerSettings, TopologySettings, BackendsSettings, PlanSettings),
    *(WorkerSettings, FlowSettings, ApiSettings, MetricsSettings, LogSettings),
]
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and none of our variables."""
    for name in os.environ:
        if name.startswith(("CHECKING_", "RABBITMQ_", "WORKER_", "DATABASE_", "LOG_", "ROUTING_KEY_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def told(settings: BaseSettings) -> dict[str, tuple[str, str]]:
    return {variable: (value, origin.value) for variable, value, origin in describe(settings)}


# --- where values come from ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROOMS)
def test_everything_has_a_default(kind: type[BaseSettings]):
    assert {origin for _, _, origin in describe(read(kind))} == {Origin.DEFAULT}


@pytest.mark.parametrize(
    ("kind", "variable", "value", "field", "read_as"),
    [
        (DatabaseSettings, "DATABASE_URL", "sqlite:///a.db", "url", SecretStr("sqlite:///a.db")),
        (WorkerSettings, "WORKER_JITTER_RANGE_MIN", "0.2", "jitter_min", 0.2),
        (WorkerSettings, "WORKER_JITTER_RANGE_MAX", "0.7", "jitter_max", 0.7),
        (WorkerSettings, "WORKER_MAX_RETRIES", "4", "max_retries", 4),
        (WorkerSettings, "WORKER_RETRY_DELAY", "1.5", "retry_delay", 1.5),
        (LogSettings, "LOG_LEVEL", "debug", "level", "DEBUG"),
        (LogSettings, "LOG_FILE", "a.log", "file", Path("a.log")),
        (BrokerSettings, "RABBITMQ_HOST", "mq", "host", "mq"),
        (TopologySettings, "RABBITMQ_EXCHANGE", "x", "exchange", "x"),
        (TopologySettings, "RABBITMQ_API_TASKS_QUEUE", "q", "api_tasks_queue", "q"),
        (TopologySettings, "ROUTING_KEY_API_TASK", "k", "api_task_key", "k"),
    ],
)
def test_the_names_of_the_original_system_are_accepted(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], variable: str, value: str, field: str, read_as: Any
):
    monkeypatch.setenv(variable, value)
    settings = read(kind)
    assert getattr(settings, field) == read_as
    assert told(settings)[variable][1] == "environment"


def test_the_environment_counts_more_than_the_file_and_our_name_more_than_the_original(
    monkeypatch: pytest.MonkeyPatch,
):
    def url() -> str:
        return read(DatabaseSettings).url.get_secret_value()

    Path(".env").write_text("DATABASE_URL=sqlite:///file-original.db\n")
    assert url() == "sqlite:///file-original.db"
    Path(".env").write_text("DATABASE_URL=sqlite:///file-original.db\nchecking_database_url=sqlite:///file.db\n")
    assert url() == "sqlite:///file.db"
    monkeypatch.setenv("DATABASE_URL", "sqlite:///original.db")
    assert url() == "sqlite:///original.db"
    monkeypatch.setenv("CHECKING_DATABASE_URL", "sqlite:///ours.db")
    assert url() == "sqlite:///ours.db"


def test_the_origin_and_the_variable_of_each_value_are_told(monkeypatch: pytest.MonkeyPatch):
    Path(".env").write_text("WORKER_MAX_RETRIES=3\nCHECKING_WORKER_CONCURRENCY=\n")
    monkeypatch.setenv("CHECKING_WORKER_JITTER_MIN", "0")
    monkeypatch.setenv("WORKER_RETRY_DELAY", "")
    assert told(read(WorkerSettings)) == {
        "CHECKING_WORKER_JITTER_MIN": ("0.0", "environment"),
        "CHECKING_WORKER_JITTER_MAX": ("0.5", "default"),
        "WORKER_MAX_RETRIES": ("3", "file"),
        "CHECKING_WORKER_RETRY_DELAY": ("3.0", "default"),
        "CHECKING_WORKER_CONCURRENCY": ("20", "default"),
    }


def test_a_class_can_be_made_in_code_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_WORKER_CONCURRENCY", "7")
    assert WorkerSettings(concurrency=3).concurrency == 3


def test_a_level_is_a_word_in_any_case():
    assert LogSettings(level="warning").level == "WARNING"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="should be"):
        LogSettings(level=30)  # type: ignore[arg-type]


def test_settings_do_not_change_once_read():
    with pytest.raises(ValueError, match="frozen"):
        read(WorkerSettings).concurrency = 3  # type: ignore[misc]


def test_a_file_that_is_no_text_is_one_clear_line():
    Path(".env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"^\.env: cannot be read \(UnicodeDecodeError\); save it as UTF-8"):
        read(WorkerSettings)


# --- a wrong value is told in one line -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "variable", "value", "problem"),
    [
        (WorkerSettings, "CHECKING_WORKER_CONCURRENCY", "many", "valid integer"),
        (WorkerSettings, "CHECKING_WORKER_CONCURRENCY", "0", "greater than or equal to 1"),
        (WorkerSettings, "WORKER_JITTER_RANGE_MIN", "-1", "greater than or equal to 0"),
        (WorkerSettings, "CHECKING_WORKER_JITTER_MAX", "0.01", "below the shortest pause"),
        (WorkerSettings, "CHECKING_WORKER_JITTER_MAX", "nan", "less than or equal to 60"),
        (LogSettings, "LOG_LEVEL", "LOUD", "'DEBUG', 'INFO'"),
        (LogSettings, "CHECKING_LOG_FORMAT", "xml", "'console' or 'json'"),
        (PlanSettings, "CHECKING_HINTS", "perhaps", "'fallback', 'always' or 'never'"),
        (PlanSettings, "CHECKING_DEFAULT_BACKEND", "My SIEM", "no name of a backend"),
        (DatabaseSettings, "DATABASE_URL", "mysql://u:hunter2@h/db", "write postgresql://"),
        (DatabaseSettings, "CHECKING_DATABASE_URL", "postgresql+psycopg2://u:hunter2@h/db", "write postgresql://"),
        (DatabaseSettings, "CHECKING_DATABASE_URL", "sqlite://", "names no file"),
        (DatabaseSettings, "CHECKING_DATABASE_URL", "sqlite:///:memory:", "names no file"),
        (DatabaseSettings, "CHECKING_DATABASE_URL", "postgresql://u:p@ss:w/rd@h/x", "percent-encode"),
        (DatabaseSettings, "CHECKING_DATABASE_URL", "postgresql://u:p@h:port/x", "host:5432"),
        (BrokerSettings, "CHECKING_AMQP_URL", "http://u:hunter2@h", "write amqp://"),
        (BrokerSettings, "RABBITMQ_PORT", "70000", "less than or equal to 65535"),
        (BackendsSettings, "CHECKING_BACKENDS", "{", "is no JSON"),
        (BackendsSettings, "CHECKING_BACKENDS", "[]", "valid dictionary"),
        (BackendsSettings, "CHECKING_BACKENDS", '{"My SIEM": {"plugin": "x"}}', "no name of a backend"),
        (BackendsSettings, "CHECKING_BACKENDS", '{"siem": {}}', "siem.plugin: is missing"),
        (BackendsSettings, "CHECKING_BACKENDS", '{"siem": {"plugin": "x", "api_key": "hunter2"}}', "siem.api_key"),
        (BackendsSettings, "CHECKING_BACKENDS", '{"siem": {"plugin": "x", "timing": {"settle": "soon"}}}', "no span"),
    ],
)
def test_a_wrong_value_names_variable_problem_and_remedy_but_never_the_value(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], variable: str, value: str, problem: str
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        read(kind)
    line = str(caught.value)
    assert line.startswith(f"{variable}: ")
    assert problem in line
    assert "; correct it, or remove it for the default (" in line
    assert "\n" not in line
    assert SECRET not in line
    assert caught.value.__cause__ is None


def test_a_shortest_pause_above_the_default_longest_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORKER_JITTER_RANGE_MIN", "0.9")
    with pytest.raises(ConfigurationError, match=r"^CHECKING_WORKER_JITTER_MAX: is below the shortest pause"):
        read(WorkerSettings)


class SiemSettings(BaseSettings):
    """As a plugin declares its own: no aliases, a secret, something required, something complex."""

    model_config = SettingsConfigDict(env_prefix="SIEM_", env_file=".env")

    url: str
    api_token: SecretStr | None = None
    password: str = ""
    ports: list[int] = Field(default=[1, 2])
    verify: bool = True

    @model_validator(mode="after")
    def _secure(self) -> SiemSettings:
        if self.url.startswith("https") and not self.verify:
            raise ValueError("a certificate is verified or there is none")
        return self


def test_settings_of_a_plugin_are_read_and_told_the_same_way(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigurationError, match=r"^SIEM_URL: is not set; set it in the environment or in \.env$"):
        read(SiemSettings)
    monkeypatch.setenv("SIEM_URL", f"https://user:{SECRET}@siem/?token={SECRET}")
    monkeypatch.setenv("SIEM_API_TOKEN", SECRET)
    monkeypatch.setenv("SIEM_PASSWORD", SECRET)
    assert told(read(SiemSettings)) == {
        "SIEM_URL": (f"https://user:{MASK}@siem/?token={MASK}", "environment"),
        "SIEM_API_TOKEN": (MASK, "environment"),
        "SIEM_PASSWORD": (MASK, "environment"),
        "SIEM_PORTS": ("1, 2", "default"),
        "SIEM_VERIFY": ("true", "default"),
    }
    monkeypatch.setenv("SIEM_VERIFY", "no")
    with pytest.raises(ConfigurationError, match=r"^SiemSettings: a certificate is verified or there is none$"):
        read(SiemSettings)
    monkeypatch.setenv("SIEM_PORTS", SECRET)
    with pytest.raises(ConfigurationError, match=r"^SIEM_PORTS: is no JSON; correct it, or remove it$"):
        read(SiemSettings)


# --- database ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "async_url"),
    [
        ("sqlite:///checking.db", "sqlite+aiosqlite:///checking.db"),
        ("sqlite:////var/lib/c.db", "sqlite+aiosqlite:////var/lib/c.db"),
        ("sqlite+aiosqlite:///c.db", "sqlite+aiosqlite:///c.db"),
        ("postgres://u:p@h/db", "postgresql+asyncpg://u:p@h/db"),
        ("postgresql://u:p@h:1/db", "postgresql+asyncpg://u:p@h:1/db"),
        ("postgresql+asyncpg://u:p@h/db", "postgresql+asyncpg://u:p@h/db"),
        ("postgresql://u:sqlite:@h/db?sslmode=require&x=1", "postgresql+asyncpg://u:sqlite:@h/db?ssl=require&x=1"),
    ],
)
def test_a_url_gets_the_driver_we_use(url: str, async_url: str):
    assert DatabaseSettings(url=SecretStr(url)).async_url == async_url


def test_the_password_of_the_database_is_shown_nowhere():
    settings = DatabaseSettings(url=SecretStr(f"postgresql://checking:{SECRET}@db/x?password={SECRET}"))
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert SECRET not in settings.model_dump_json()
    ((_, shown, _),) = describe(settings)
    assert shown == f"postgresql://checking:{MASK}@db/x?password={MASK}"


# --- broker --------------------------------------------------------------------------------------------------


def test_without_a_broker_everything_stays_in_process():
    assert {read(BrokerSettings).url_for(role) for role in (None, *BrokerRole)} == {None}


@pytest.mark.parametrize("role", BrokerRole)
def test_each_role_has_its_own_user_of_the_family(monkeypatch: pytest.MonkeyPatch, role: BrokerRole):
    monkeypatch.setenv("RABBITMQ_HOST", "mq")
    monkeypatch.setenv(f"RABBITMQ_{role.upper()}_USER", "me@home")
    monkeypatch.setenv(f"RABBITMQ_{role.upper()}_PASS", "a/b:c@d e")
    assert read(BrokerSettings).url_for(role) == "amqp://me%40home:a%2Fb%3Ac%40d%20e@mq:5672/%2Fcaldera_checking"


def test_the_users_are_called_as_in_the_original_system():
    settings = read(BrokerSettings)
    assert [getattr(settings, f"{role}_user") for role in BrokerRole] == [
        "caldera_admin",
        "caldera_publisher",
        "checking_consumer",
        "checking_dispatcher",
        "checking_worker",
        "checking_result_consumer",
        "monitor_user",
    ]


def test_one_user_for_everything_is_the_admin_of_the_family(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RABBITMQ_HOST", "::1")
    monkeypatch.setenv("RABBITMQ_PORT", "1")
    monkeypatch.setenv("RABBITMQ_VHOST", "/")
    monkeypatch.setenv("RABBITMQ_ADMIN_PASS", "x")
    assert read(BrokerSettings).url_for() == "amqp://caldera_admin:x@[::1]:1/%2F"


def test_a_role_without_password_is_refused_and_the_variable_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RABBITMQ_HOST", "mq")
    with pytest.raises(ConfigurationError, match=r"^RABBITMQ_WORKER_PASS: is not set; set it, or CHECKING_AMQP_URL"):
        read(BrokerSettings).url_for(BrokerRole.WORKER)


def test_a_url_serves_every_role_that_has_no_password_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_AMQP_URL", "amqps://one:secret@mq:5671/%2Fchecking?heartbeat=30")
    monkeypatch.setenv("RABBITMQ_WORKER_PASS", "own")
    settings = read(BrokerSettings)
    assert settings.url_for() == "amqps://one:secret@mq:5671/%2Fchecking?heartbeat=30"
    assert settings.url_for(BrokerRole.CONSUMER) == settings.url_for()
    assert settings.url_for(BrokerRole.WORKER) == "amqps://checking_worker:own@mq:5671/%2Fchecking?heartbeat=30"


def test_variables_that_kubernetes_sets_for_a_service_configure_no_broker_and_break_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("RABBITMQ_PORT", "tcp://10.0.0.1:5673")
    settings = read(BrokerSettings)
    assert (settings.url_for(), settings.port) == (None, 5673)


def test_no_password_of_the_broker_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_AMQP_URL", f"amqp://u:{SECRET}@mq/")
    for role in BrokerRole:
        monkeypatch.setenv(f"RABBITMQ_{role.upper()}_PASS", SECRET)
    settings = read(BrokerSettings)
    assert SECRET not in repr(settings)
    assert SECRET not in str(describe(settings))
    assert told(settings)["CHECKING_AMQP_URL"] == (f"amqp://u:{MASK}@mq/", "environment")


# --- backends ------------------------------------------------------------------------------------------------

BACKENDS = {"splunk-prod": BackendSettings(plugin="splunk", env_prefix="SPLUNK_PROD_", observe=True)}
TOML = '[splunk-prod]\nplugin = "splunk"\nenv_prefix = "SPLUNK_PROD_"\nobserve = true\n'


def test_backends_come_from_a_variable(monkeypatch: pytest.MonkeyPatch):
    written = {"splunk-prod": {"plugin": "splunk", "env_prefix": "SPLUNK_PROD_", "observe": True}}
    monkeypatch.setenv("CHECKING_BACKENDS", json.dumps(written))
    settings = read(BackendsSettings)
    assert settings.backends == BACKENDS
    assert told(settings)["CHECKING_BACKENDS"] == (json.dumps(written), "environment")


def test_backends_come_from_a_file_in_the_working_folder():
    Path("backends.toml").write_text(TOML)
    settings = read(BackendsSettings)
    assert settings.backends == BACKENDS
    assert told(settings)["CHECKING_BACKENDS"][1] == "file"


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_backends_come_from_a_named_file(monkeypatch: pytest.MonkeyPatch, where: str):
    Path("backends.toml").write_text("not read")
    Path("other.toml").write_text(TOML.replace("observe = true", 'timing = {settle = "2m"}'))
    if where == ".env":
        Path(".env").write_text("CHECKING_BACKENDS_FILE=other.toml\n")
    else:
        monkeypatch.setenv("CHECKING_BACKENDS_FILE", "other.toml")
    assert read(BackendsSettings).backends["splunk-prod"].timing.settle == 120


def test_the_variable_counts_more_than_the_file(monkeypatch: pytest.MonkeyPatch):
    Path("backends.toml").write_text("not read")
    monkeypatch.setenv("CHECKING_BACKENDS", '{"mock": {"plugin": "mock"}}')
    assert list(read(BackendsSettings).backends) == ["mock"]
    assert list(BackendsSettings(backends={"a": BackendSettings(plugin="a")}).backends) == ["a"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[splunk", "backends.toml: is no TOML"),
        ("[Splunk]\nplugin='x'", "backends.toml: Splunk: is no name of a backend"),
        ("[splunk]\nplugn='x'", "backends.toml: splunk.plugin: is missing; correct the file"),
        ("splunk = 'x'", "backends.toml: splunk: should be a valid dictionary"),
    ],
)
def test_a_wrong_file_is_one_clear_line(text: str, line: str):
    Path("backends.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read(BackendsSettings)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_named_file_that_is_absent_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_BACKENDS_FILE", "absent.toml")
    with pytest.raises(ConfigurationError, match=r"^CHECKING_BACKENDS_FILE: absent\.toml cannot be read: No such"):
        read(BackendsSettings)


# --- plan ----------------------------------------------------------------------------------------------------


def test_expectations_are_paths_separated_by_commas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_EXPECTATIONS", "a.yml, folder,,")
    monkeypatch.setenv("CHECKING_HINTS", "never")
    settings = read(PlanSettings)
    assert (settings.expectations, settings.hints) == (("a.yml", "folder"), HintsMode.NEVER)
    assert told(settings)["CHECKING_EXPECTATIONS"][0] == "a.yml, folder"
