"""A product that is a process of its own, for the tests of one module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.fakes import Fake

__all__ = ["played"]


def played(app: str, held: Callable[[], dict[str, Any]]) -> tuple[Any, Any]:
    """The fixtures ``started``, which lives as long as the module, and ``fake``, which holds the same for each test."""

    @pytest.fixture(scope="module")
    def started() -> Iterator[Fake]:
        with Fake(app) as fake:
            yield fake

    @pytest.fixture
    def fake(started: Fake) -> Fake:
        started.tell(held())
        started.forget()
        return started

    return started, fake
