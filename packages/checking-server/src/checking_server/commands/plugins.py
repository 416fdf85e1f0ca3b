"""``checking plugins``: what is installed, what it can do, and whether it reaches its backends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from rich.console import Console

    from checking_core.plugin import BaseWorker, PluginHost, PluginInfo
    from checking_core.settings import BackendSettings

__all__ = ["app", "list_plugins", "new", "show"]

_HEALTH = {True: ("healthy", "green"), False: ("NOT healthy", "red"), None: ("health unknown", "dim")}

app = App(name="plugins", help="Installed detector plugins and their backends, and the beginning of a new one.")


@app.command(name="list")
def list_plugins() -> None:
    """List the installed plugins, with what is wrong with the broken ones, and the backends they serve."""
    from checking_server.commands.terminal import cell, say, table, terminal

    host, backends = _installed()
    console = terminal()
    lines = table(
        "Plugin", "Version", "State", "Platforms", "Backends", "Problem", whole=("Plugin", "Version", "State")
    )
    for plugin in host.plugins:
        served = ", ".join(name for name, backend in backends.items() if backend.plugin in plugin.detectors)
        words = (plugin.name, plugin.version, plugin.state, ", ".join(plugin.detectors), served, plugin.problem)
        lines.add_row(*(cell(word, "red" if plugin.problem else "") for word in words))
    if host.plugins:
        console.print(lines)
    else:
        say(console, "No plugin is installed; checking-plugin-mock is one to begin with.")
    for name, backend in backends.items():
        if backend.plugin not in host.detectors:
            say(console, f"Nothing serves the backend {name}: its plugin {backend.plugin} is not usable here.", "red")


@app.command
def show(
    name: Annotated[str, Parameter(help="Of a plugin, a platform or a configured backend.")],
    /,
    *,
    check: Annotated[bool, Parameter(help="Ask each backend whether it can be reached.")] = True,
) -> int:
    """Show a plugin: version, what it answers, its backends with their settings and health, the keys of its checks.

    Exit code 1 if the plugin is broken, a setting is wrong, or a backend cannot be reached.
    """
    from checking_core.plugin import PluginState
    from checking_server.commands.terminal import say, terminal

    host, backends = _installed(bare=True)  # of one that nobody has set up it shows what it needs
    plugin, chosen = _find(name, host, backends)
    console = terminal()
    say(console, f"{plugin.name} {plugin.version} ({plugin.distribution})", "bold")
    if plugin.state is PluginState.BROKEN:
        say(console, f"broken: {plugin.problem}", "red")
        return 1
    usable = [_show_backend(console, host, key, backend, check=check) for key, backend in chosen.items()]
    for platform in plugin.detectors:
        _show_detector(console, host.detectors[platform])
    return 0 if all(usable) else 1


@app.command
def new(
    name: Annotated[str, Parameter(help="Of the plugin: what a backend's plugin setting will name.")],
    /,
    *,
    into: Annotated[Path, Parameter(help="Folder in which the project's own is made.")] = Path(),
) -> None:
    """Write a plugin project that works: detector, settings, README, and tests that every detector has to pass.

    An existing folder is never changed.
    """
    from checking_server.plugin_project import write_project

    folder = write_project(name, into)
    print(f"{folder}: a plugin that works, for a product that is made up")
    print(f"Next: cd {folder}, then pip install -e '.[test]', then pytest; README.md tells how to make it yours")


def _installed(*, bare: bool = False) -> tuple[PluginHost, Mapping[str, BackendSettings]]:
    from checking_core import log
    from checking_core.plugin import PluginHost
    from checking_core.settings import BackendsSettings, LogSettings, read

    settings = read(LogSettings)
    log.configure(settings.level, settings.format, settings.file)
    host = PluginHost.load()
    return host, host.backends(read(BackendsSettings), bare=bare)


def _find(
    name: str, host: PluginHost, backends: Mapping[str, BackendSettings]
) -> tuple[PluginInfo, Mapping[str, BackendSettings]]:
    """The plugin that a word means, and the backends to show: all of the plugin's, or the one that was named."""
    from difflib import get_close_matches

    from checking_core.errors import NotFoundError

    plugins = {plugin.name: plugin for plugin in reversed(host.plugins)}
    platforms = {platform: plugin for plugin in host.plugins for platform in plugin.detectors}
    if (backend := backends.get(name)) is not None:
        if backend.plugin not in platforms:
            host.create(name, backend)  # raises: says why nothing serves this backend
        return platforms[backend.plugin], {name: backend}
    if plugin := plugins.get(name) or platforms.get(name):
        return plugin, {key: one for key, one in backends.items() if one.plugin in plugin.detectors}
    known = sorted({*plugins, *platforms, *backends})
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
    raise NotFoundError(f"no plugin and no backend is called {name!r}; {hint}")


def _show_backend(console: Console, host: PluginHost, name: str, backend: BackendSettings, *, check: bool) -> bool:
    """Print a backend; whether it can be used, as far as is known."""
    from checking_core.errors import ConfigurationError
    from checking_core.worker.self_check import health_of
    from checking_server.commands.backend_settings import settings_of
    from checking_server.commands.terminal import say

    say(console, f"Backend {name}", "bold")
    try:
        detector = host.create(name, backend)
    except ConfigurationError as error:
        say(console, f"  {error}", "red")
        return False
    for setting in (settings := settings_of(detector, backend.env_prefix)):
        say(console, f"  {setting.variable} = {setting.value} ({setting.origin})")
    if not settings:
        say(console, "  has no settings")
    if not check:
        return True
    health = health_of(detector)
    word, style = _HEALTH[health.ok]
    say(console, f"  {word}: {health.detail}", style)
    return health.ok is not False


def _show_detector(console: Console, detector: type[BaseWorker]) -> None:
    import json

    from checking_core.contracts import Ask
    from checking_core.plugin.loader import foreign
    from checking_server.commands.terminal import say

    say(console, f"Platform {detector.platform}", "bold")
    say(console, f"  types    {', '.join(sorted(detector.detection_types))}")
    say(console, f"  answers  {', '.join(ask for ask in Ask if ask in detector.answers)}")
    say(console, "  detection_config, as JSON Schema:")
    schema = foreign(f"the plugin {detector.platform} has a Config without a schema", detector.Config.model_json_schema)
    console.print(json.dumps(schema, indent=2), markup=False, soft_wrap=True)
