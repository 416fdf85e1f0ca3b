"""The CrowdStrike plugin keeps the rules of the kit, without any relaxation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import respx

from checking_core.testing import DetectorConformance

from .crowdstrike_stage import PAGE, CrowdStrikeStage


class TestCrowdStrike(DetectorConformance):
    query = "hostname:'ws01'"
    query_with_placeholder = "cmdline:${command}"
    page_size = PAGE

    @pytest.fixture
    def stage(self) -> Iterator[CrowdStrikeStage]:
        with respx.mock(assert_all_called=False) as router:
            yield CrowdStrikeStage(router)
