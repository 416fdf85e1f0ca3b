"""The objects of one large JSON array, without ever holding more than one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

__all__ = ["array_records"]

_BLOCK = 1 << 18
_TOKEN = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)


def array_records(file: IO[bytes]) -> Iterator[bytes | None]:
    """The text of each object in the outermost array; ``None`` for what the end of the file cuts off."""
    rest, depth, quoted = b"", 0, False
    while block := _block(file):
        text = rest + block
        scanned, begin = len(rest), 0
        for found in _TOKEN.finditer(text, scanned):
            token = found[0]
            if token == b'"':
                quoted = not quoted
            elif quoted or len(token) > 1:
                continue
            elif token in b"[{":
                depth += 1
                begin = found.start() if depth == 2 else begin
            else:
                depth -= 1
                if depth == 1:
                    yield text[begin : found.end()]
                    begin = found.end()
        rest = text[begin:] if depth > 1 else b""
    if depth:
        yield None


def _block(file: IO[bytes]) -> bytes:
    """Some text that does not end in the middle of an escape."""
    block = file.read(_BLOCK)
    while block.endswith(b"\\") and (more := file.read(1)):
        block += more
    return block
