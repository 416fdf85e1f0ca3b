"""The search head of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import respx

from .splunk_head import SearchHead


@pytest.fixture
def head() -> Iterator[SearchHead]:
    with respx.mock(assert_all_called=False) as router:
        yield SearchHead(router)
