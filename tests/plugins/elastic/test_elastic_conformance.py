"""The Elastic plugin keeps the rules of the kit, without any relaxation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import respx

from checking_core.testing import DetectorConformance

from .elastic_stage import ElasticStage


class TestElastic(DetectorConformance):
    query_with_placeholder = "process.command_line: ${command}"

    @pytest.fixture
    def stage(self) -> Iterator[ElasticStage]:
        with respx.mock(assert_all_called=False) as router:
            yield ElasticStage(router)
