"""A YAML file as plain JSON-like data that remembers its lines.

Stricter than a YAML library's own loader, because these files decide what is asked: a key written twice is refused,
``no`` and ``2026-01-31`` stay text, ``0123`` is no octal number, and neither aliases nor nesting can blow up memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

import msgspec
import yaml

from checking_core.contracts.text import clean
from checking_core.expectations.problem import ExpectationsError, LintCode, LintMessage

try:
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML was built without libyaml: slower, the same answers
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

__all__ = ["Document", "Path", "read_document"]

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes from the top of a document to a value."""

MAX_DEPTH = 32
MAX_VALUES = 100_000

_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    "float": (r"[-+]?[0-9]{1,18}\.[0-9]{1,18}", list("-+0123456789")),
    "merge": (r"<<", ["<"]),
}
_READ: Mapping[str, Callable[[str], int | float | bool | None]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
}


class _Loader(_BaseLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name)


for _name, (_text, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_text})\Z"), _first)


class Document(msgspec.Struct, frozen=True):
    """The data of one file; ``lines`` says for each value where it stands, counted from 1."""

    file: str
    value: Any
    lines: Mapping[Path, int]

    @classmethod
    def of(cls, name: str, value: Any) -> Document:
        """Data that came from no file: all of it stands on its first line."""
        return cls(name, value, dict.fromkeys(_paths(value, ()), 1))

    def known(self, path: Path) -> Path:
        """The longest part of a path that the file has."""
        while path not in self.lines:
            path = path[:-1]
        return path

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest thing around it."""
        return self.lines[self.known(path)]


def _paths(value: Any, path: Path) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


def read_document(file: str, body: bytes) -> Document:
    """Read one YAML document.

    Args:
        file: its name, for messages.
        body: its text.

    Raises:
        ExpectationsError: it is no single YAML document, or holds what JSON cannot.
    """
    reader = _Reader(file)
    try:
        reader.check_depth(body)
        node = yaml.compose(body, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.fail(mark.line + 1 if mark else 1, f"is no YAML: {error.problem}", "mend the syntax")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reader.fail(1, f"is no YAML text: {str(error).splitlines()[0]}", "save it as UTF-8 text")
    if node is None:
        return Document(file, None, {(): 1})
    return Document(file, reader.read(node, ()), reader.lines)


class _Reader:
    """Turns nodes into data. Aliases are expanded, and every value counts, so a bomb of them is met early."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path, int] = {}
        self.count = 0

    def fail(self, line: int, message: str, remedy: str) -> NoReturn:
        problem = LintMessage(file=self.file, line=line, code=LintCode.UNREADABLE, message=message, remedy=remedy)
        raise ExpectationsError(problem) from None

    def check_depth(self, body: bytes) -> None:
        """Before nodes are composed: libyaml's composer recurses without a limit and would end the process."""
        depth = 0
        for event in yaml.parse(body, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                self.fail(line, f"is nested more than {MAX_DEPTH} deep", "write it flatter")

    def read(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self.count += 1
        if self.count > MAX_VALUES or len(path) > MAX_DEPTH:
            self.fail(line, f"its aliases expand to more than {MAX_VALUES} values or to themselves", "write it out")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self.check_tag(node, "seq")
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self.check_tag(node, "map")
        found: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged.append(value_node)
                continue
            key, line = self.key(key_node), key_node.start_mark.line + 1
            if key in found:
                self.fail(line, f"{key}: is written twice", "keep one of them")
            self.lines.setdefault((*path, key), line)
            found[key] = self.read(value_node, (*path, key))
        for source in self.sources(merged):
            self.merge(found, source, path)
        return found

    def sources(self, merged: list[yaml.Node]) -> Iterator[yaml.Node]:
        """The mappings behind ``<<``: one, or a list of which the first has precedence."""
        for node in merged:
            yield from node.value if isinstance(node, yaml.SequenceNode) else [node]

    def merge(self, found: dict[str, Any], source: yaml.Node, path: Path) -> None:
        base = (*path, "<<")
        inherited = self.read(source, base)
        if not isinstance(inherited, dict):
            self.fail(source.start_mark.line + 1, "<<: is no mapping", "merge a mapping")
        for key, value in inherited.items():
            found.setdefault(key, value)
            self.lines.setdefault((*path, key), self.lines[(*base, key)])

    def key(self, node: yaml.Node) -> str:
        key = self.scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            self.fail(node.start_mark.line + 1, "has a key that is no text", "put it in quotes")
        return key

    def scalar(self, node: yaml.Node) -> str | int | float | bool | None:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            if clean(text) != text:
                self.fail(node.start_mark.line + 1, "has a NUL or half a character", "remove it")
            return text
        if kind not in _READ or not re.fullmatch(_PLAIN[kind][0], text):
            self.refuse_tag(node)
        return _READ[kind](text)

    def check_tag(self, node: yaml.Node, kind: str) -> None:
        if node.tag != _TAG + kind:
            self.refuse_tag(node)

    def refuse_tag(self, node: yaml.Node) -> NoReturn:
        self.fail(node.start_mark.line + 1, "has a value with a tag that is not known here", "remove the tag")
