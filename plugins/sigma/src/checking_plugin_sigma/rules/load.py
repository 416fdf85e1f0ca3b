"""Rules from files and folders, compiled or out of the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from checking_core.errors import ConfigurationError
from checking_plugin_sigma.rules.cache import RuleCache
from checking_plugin_sigma.rules.model import Refused, RuleSet

__all__ = ["load_rules", "rules_of_text", "stamp_of"]

_SUFFIXES = frozenset({".yml", ".yaml"})


def load_rules(
    path: Path, *, cache: RuleCache | None = None, placeholders: Mapping[str, Sequence[str]] | None = None
) -> RuleSet:
    """Every rule of a file, or of a folder and the folders in it.

    Args:
        path: a file, or a folder of ``.yml`` and ``.yaml`` files.
        cache: where compiled rules are kept.
        placeholders: values for the modifier ``expand``.

    Raises:
        ConfigurationError: there is no such file, or no rule in the folder.
    """
    files = _files(path)
    root = path if path.is_dir() else path.parent
    texts: dict[str, str] = {}
    refused: list[Refused] = []
    for file in files:
        name = file.relative_to(root).as_posix()
        try:
            texts[name] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            refused.append(Refused(source=name, problem=f"cannot be read: {error}"))
    return _compiled(texts, cache, placeholders or {}) + RuleSet(refused=tuple(refused))


def rules_of_text(
    text: str, source: str, *, cache: RuleCache | None = None, placeholders: Mapping[str, Sequence[str]] | None = None
) -> RuleSet:
    """The rules of one YAML text, which may hold several documents."""
    return _compiled({source: text}, cache, placeholders or {})


def stamp_of(path: Path) -> object:
    """What changes when any rule below a path does.

    Raises:
        ConfigurationError: see ``load_rules``.
    """
    states = [(file, file.stat()) for file in _files(path)]
    return [(file, state.st_mtime_ns, state.st_size) for file, state in states]


def _compiled(texts: Mapping[str, str], cache: RuleCache | None, placeholders: Mapping[str, Sequence[str]]) -> RuleSet:
    key = RuleCache.key(texts, placeholders) if cache else ""
    if cache and (kept := cache.get(key)) is not None:
        return kept
    from checking_plugin_sigma.rules.parse import parse

    found = [parse(text, source, placeholders) for source, text in texts.items()]
    compiled = RuleSet(
        rules=tuple(rule for one in found for rule in one.rules),
        refused=tuple(rule for one in found for rule in one.refused),
    )
    if cache:
        cache.put(key, compiled)
    return compiled


def _files(path: Path) -> Sequence[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigurationError(f"{path} is neither a rule nor a folder of rules")
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not found:
        raise ConfigurationError(f"{path} holds no rules: no file ends with .yml or .yaml")
    return found
