"""Installed plugins are found and loaded one by one; a broken one is listed with its reason and harms nobody."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from checking_core.contracts import Ask
from checking_core.errors import ConfigurationError
from checking_core.plugin import PluginHost, PluginInfo, PluginState, SearchDetector
from checking_core.plugin.loader import commands_of
from checking_core.settings import BackendSettings, BackendsSettings
from checking_core.testing import FakeDetector

Install = Callable[..., str]

DETECTOR = dedent("""
    from pydantic import SecretStr
    from pydantic_settings import BaseSettings, SettingsConfigDict
    from checking_core import Ask, BaseWorker, Finding, hookimpl

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="ACME_")
        url: str = "https://acme.example"
        password: SecretStr = SecretStr("none")

    class Detector(BaseWorker):
        platform = "{platform}"
        detection_types = {{"api"}}
        answers = {{Ask.ALERT}}
        Settings = Settings
        async def detect(self, task):
            return Finding()

    @hookimpl
    def checking_detectors():
        return [Detector]
""")
_numbers = itertools.count()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a throw-away distribution with one plugin; gives the plugin's name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(code: str, *, name: str = "acme", distribution: str | None = None, version: str = "1.2") -> str:
        module = f"throw_away_plugin_{next(_numbers)}"
        distribution = distribution or f"checking-plugin-{name}"
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[checking.plugins]\n{name} = {module}\n")
        return name

    return install


def acme(platform: str = "acme") -> str:
    """A plugin as it should be."""
    return DETECTOR.format(platform=platform)


def listed(host: PluginHost, name: str) -> list[PluginInfo]:
    return [plugin for plugin in host.plugins if plugin.name == name]


def test_a_plugin_is_found_by_its_entry_point(install):
    install(acme())
    host = PluginHost.load()
    assert listed(host, "acme") == [
        PluginInfo(
            name="acme",
            distribution="checking-plugin-acme",
            version="1.2",
            state=PluginState.LOADED,
            detectors=("acme",),
        )
    ]
    assert host.detectors["acme"].platform == "acme"


def test_the_mock_plugin_is_installed_and_sound():
    (mock,) = listed(PluginHost.load(), "mock")
    assert (mock.state, mock.detectors) == (PluginState.LOADED, ("mock",))


def with_detector(body: str) -> str:
    """A plugin whose detector has this class body."""
    return dedent("""
        from checking_core import Ask, BaseWorker, DetectionConfig, Finding, hookimpl

        class Detector(BaseWorker):
            platform = "acme"
            answers = {Ask.ALERT}
            async def detect(self, task):
                return Finding()
        {body}

        @hookimpl
        def checking_detectors():
            return [Detector]
    """).replace("{body}", "    " + body)


def with_hook(body: str) -> str:
    """A plugin whose hook has this body."""
    return f"from checking_core import hookimpl\n\n@hookimpl\ndef checking_detectors():\n    {body}\n"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys; sys.exit(3)", "cannot be imported: SystemExit: 3"),
        ("raise BaseExceptionGroup('two', [ValueError('1')])", "cannot be imported: ExceptionGroup: two"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("x = 1", "implements no hook; mark checking_detectors with @hookimpl"),
        (
            "from checking_core import hookimpl\n@hookimpl\ndef checking_detektors(): return []",
            "implements the hook checking_detektors, which does not exist; did you mean checking_detectors?",
        ),
        (
            "from checking_core import hookimpl\n@hookimpl\ndef checking_detectors(config): return []",
            "cannot be registered: PluginValidationError",
        ),
        (with_hook("raise KeyError('x')"), "fails in checking_detectors: KeyError: 'x'"),
        (with_hook("import sys; sys.exit()"), "fails in checking_detectors: SystemExit"),
        (with_hook("return None"), "checking_detectors returns no list of detector classes"),
        (with_hook("return []"), "checking_detectors returns no list of detector classes"),
        (with_hook("return 'acme'"), "checking_detectors returns no list of detector classes"),
        (with_hook("return [dict]"), "checking_detectors returns <class 'dict'>, which is no subclass of BaseWorker"),
        (with_hook("return [7]"), "checking_detectors returns 7, which is no subclass of BaseWorker"),
        (with_detector("del platform"), "Detector has no usable platform"),
        (with_detector("platform = 'Not a name'"), "Detector has no usable platform"),
        (with_detector("del detect"), "Detector does not implement detect"),
        (with_detector("del answers"), "Detector.answers is no set of Ask"),
        (with_detector("answers = {'alert'}; detection_types = 'api'"), "Detector.answers is no set of Ask"),
        (with_detector("detection_types = 'api'"), "Detector.detection_types is no set of str"),
        (with_detector("Settings = dict"), "Detector.Settings is no subclass of BaseSettings"),
        (with_detector("Config = None"), "Detector.Config is no subclass of DetectionConfig"),
        (with_detector("platform = 'mock'"), "serves the platform mock, which checking_plugin_mock.detector serves"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason_and_the_others_are_loaded(install, code, problem):
    install(acme("good"), name="good")
    install(code, name="zz-bad")
    host = PluginHost.load()
    (bad,) = listed(host, "zz-bad")
    assert bad.state is PluginState.BROKEN
    assert bad.problem.startswith(problem)
    assert bad.detectors == ()
    assert {"good", "mock"} <= host.detectors.keys()


def test_a_plugin_with_one_broken_detector_serves_none(install):
    second = """
        class Nameless(Detector):
            platform = ""

        @hookimpl
        def checking_detectors():
            return [Detector, Nameless]
    """
    install(acme() + dedent(second))
    host = PluginHost.load()
    assert listed(host, "acme")[0].problem.startswith("Nameless has no usable platform")
    assert "acme" not in host.detectors


def test_of_two_plugins_with_one_name_our_own_distribution_counts(install):
    install(acme("theirs"), distribution="another-acme")
    install(acme("ours"), distribution="checking-plugin-acme")
    host = PluginHost.load()
    assert [(plugin.distribution, plugin.state) for plugin in listed(host, "acme")] == [
        ("checking-plugin-acme", PluginState.LOADED),
        ("another-acme", PluginState.BROKEN),
    ]
    assert "same name as the plugin of checking-plugin-acme" in listed(host, "acme")[1].problem
    assert "theirs" not in host.detectors


def test_two_plugins_cannot_serve_one_platform(install):
    install(acme("siem"), name="one")
    install(acme("siem"), name="two")
    host = PluginHost.load()
    assert [listed(host, name)[0].state for name in ("one", "two")] == [PluginState.LOADED, PluginState.BROKEN]


def test_a_problem_stays_readable(install):
    install(f"raise ValueError('{'x' * 5000}' '\\nsecond line')", name="talkative")
    (plugin,) = listed(PluginHost.load(), "talkative")
    assert len(plugin.problem) <= 300
    assert "\n" not in plugin.problem


def test_without_configuration_each_installed_detector_is_a_backend_of_its_name(install):
    install(acme())
    install(with_detector("platform = 'sysmon'; detection_types = {'windows', 'linux'}"), name="sysmon")
    backends = PluginHost.load().backends(BackendsSettings(backends={}))
    assert backends["acme"] == BackendSettings(plugin="acme")
    assert backends["sysmon"] == BackendSettings(plugin="sysmon", detection_type="linux")


def test_configured_backends_are_the_only_ones(install):
    install(acme())
    configured = BackendsSettings(backends={"acme-prod": {"plugin": "acme", "env_prefix": "ACME_PROD_"}})
    assert PluginHost.load().backends(configured) == configured.backends


def test_a_backend_reads_its_own_settings(install, monkeypatch):
    install(acme())
    monkeypatch.setenv("ACME_URL", "https://one.example")
    monkeypatch.setenv("ACME_PROD_URL", "https://prod.example")
    host = PluginHost.load()
    plain = host.create("acme", BackendSettings(plugin="acme"))
    prod = host.create("acme-prod", BackendSettings(plugin="acme", env_prefix="ACME_PROD_"))
    assert (plain.backend, plain.settings.url) == ("acme", "https://one.example")
    assert (prod.backend, prod.settings.url) == ("acme-prod", "https://prod.example")


@pytest.mark.parametrize(
    ("backend", "problem"),
    [
        ({"plugin": "splnk"}, "backend prod: no plugin splnk is installed; installed: acme, "),
        ({"plugin": "bad"}, "backend prod: plugin bad is broken: cannot be imported: SystemExit: 1"),
        ({"plugin": "acme", "detection_type": "windows"}, "backend prod: acme answers api, no other detection_type"),
    ],
)
def test_a_backend_that_nothing_can_serve_is_a_configuration_error(install, backend, problem):
    install(acme())
    install("import sys; sys.exit(1)", name="bad")
    with pytest.raises(ConfigurationError) as raised:
        PluginHost.load().create("prod", BackendSettings(**backend))
    assert str(raised.value).startswith(problem)


@pytest.mark.parametrize(
    ("prefix", "variable"), [(None, "ACME_PORT"), ("ACME_PROD_", "ACME_PROD_PORT")], ids=["own", "prefix"]
)
def test_wrong_settings_name_the_variable_and_never_its_value(install, monkeypatch, prefix, variable):
    install(acme().replace("url: str", "port: int\n    url: str"))
    monkeypatch.setenv(variable, "s3cret")
    with pytest.raises(ConfigurationError) as raised:
        PluginHost.load().create("acme", BackendSettings(plugin="acme", env_prefix=prefix))
    assert variable in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_detector_that_cannot_be_created_is_a_configuration_error(install):
    install(with_detector("def __init__(self, *_): raise SystemExit('no licence')"))
    with pytest.raises(ConfigurationError, match="backend acme: plugin acme cannot be created: SystemExit: no licence"):
        PluginHost.load().create("acme", BackendSettings(plugin="acme"))


def test_every_public_name_of_core_is_there():
    import checking_core

    assert all(getattr(checking_core, name) is not None for name in checking_core.__all__)
    assert checking_core.__all__ == sorted(checking_core.__all__)
    assert dir(checking_core) == checking_core.__all__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = checking_core.nonsense


class Spl(SearchDetector):
    """A search whose queries are in SPL unless they say otherwise."""

    platform = "spl"
    answers = frozenset({Ask.RULE})
    default_language = "spl"

    async def search(self, request):
        raise NotImplementedError

    def normalise(self, record):
        raise NotImplementedError


class Plain(Spl):
    default_language = None


def test_the_language_of_a_backend_is_that_of_its_detector_as_far_as_it_is_known():
    host = PluginHost([], {"spl": Spl, "plain": Plain, "fake": FakeDetector})
    plugins = {"siem": "spl", "lab": "plain", "edr": "fake", "old": "gone"}
    backends = {name: BackendSettings(plugin=plugin) for name, plugin in plugins.items()}
    assert host.languages(backends) == {"siem": "spl"}


def test_the_questions_of_a_backend_are_those_of_its_detector_if_that_is_installed():
    host = PluginHost([], {"fake": FakeDetector})
    backends = {name: BackendSettings(plugin=plugin) for name, plugin in {"edr": "fake", "old": "gone"}.items()}
    assert host.answers(backends) == {"edr": FakeDetector.answers}


def with_commands(body: str) -> str:
    """A sound plugin whose hook for commands has this body."""
    return f"{acme()}\nfrom checking_core import Command\n\n@hookimpl\ndef checking_commands():\n    {body}\n"


def test_a_plugin_adds_commands_without_importing_them(install):
    install(with_commands('return {"acme-scan": Command("nowhere_to_be_found:app", "Scan it.")}'))
    command = PluginHost.load().commands["acme-scan"]
    assert (command.target, command.help) == ("nowhere_to_be_found:app", "Scan it.")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return ['x']", "no mapping"),
        ("return {'Bad Name': Command('a:b', 'x')}", "not made of a-z"),
        ("return {'x': 'a:b'}", "no Command with a target"),
        ("return {'x': Command('no target', 'x')}", "no Command with a target"),
        ("raise SystemExit(3)", "fails in checking_commands"),
    ],
)
def test_a_plugin_with_a_command_that_cannot_be_used_is_broken(body, problem, install):
    install(with_commands(body))
    (plugin,) = listed(PluginHost.load(), "acme")
    assert plugin.state is PluginState.BROKEN
    assert problem in plugin.problem


def test_one_plugin_can_be_loaded_without_the_others(install):
    install(with_commands('return {"acme-scan": Command("nowhere_to_be_found:app", "Scan it.")}'))
    host = PluginHost.load(only="acme")
    assert ([plugin.name for plugin in host.plugins], list(host.commands)) == (["acme"], ["acme-scan"])
    assert PluginHost.load(only="nobody").plugins == ()


def test_the_commands_of_one_plugin_are_known_without_its_detectors(install):
    hook = with_commands('return {"acme-scan": Command("nowhere_to_be_found:app", "Scan it.")}')
    install(hook.replace("return [", "raise AssertionError; return ["))
    assert list(commands_of("acme")) == ["acme-scan"]
    assert commands_of("nobody") == {}


def test_a_plugin_whose_commands_cannot_be_used_has_none(install):
    install(with_commands("raise SystemExit(3)"))
    assert commands_of("acme") == {}


def test_of_two_plugins_with_one_command_the_first_has_it(install):
    for name in ("acme", "bcme"):
        hook = f'return {{"both": Command("{name}:app", "x")}}'
        install(with_commands(hook).replace('platform = "acme"', f'platform = "{name}"'), name=name)
    host = PluginHost.load()
    assert host.commands["both"].target == "acme:app"
    assert "which another plugin has added already" in listed(host, "bcme")[0].problem


def with_demo(body: str) -> str:
    """A sound plugin whose hook for a demo has this body."""
    imports = "from checking_core import Command, Demo"
    return f"{acme()}\n{imports}\n\n@hookimpl\ndef checking_demo():\n    {body}\n"


def test_a_plugin_tells_what_it_can_show_without_importing_it(install):
    install(with_demo('return Demo("nowhere_to_be_found:shown", Command("nowhere:record", "Record it."))'))
    demo = PluginHost.load(only="acme").demos["acme"]
    assert (demo.target, demo.record.target) == ("nowhere_to_be_found:shown", "nowhere:record")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return 'acme:shown'", "returns no Demo with a target"),
        ("return Demo('no target')", "returns no Demo with a target"),
        ("return Demo('acme:shown', 'acme:record')", "a record that is no Command"),
        ("return Demo('acme:shown', Command('no target', 'x'))", "a record that is no Command"),
        ("raise SystemExit(3)", "fails in checking_demo"),
    ],
)
def test_a_plugin_with_a_demo_that_cannot_be_used_is_broken(body, problem, install):
    install(with_demo(body))
    (plugin,) = listed(PluginHost.load(), "acme")
    assert plugin.state is PluginState.BROKEN
    assert problem in plugin.problem
