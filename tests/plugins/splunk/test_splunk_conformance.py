"""The Splunk plugin keeps the rules of the kit, without any relaxation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import respx

from checking_core.testing import DetectorConformance

from .splunk_stage import MOST_OF_A_PAGE, SplunkStage


class TestSplunk(DetectorConformance):
    query_with_placeholder = "index=main | where process=${command}"
    page_size = MOST_OF_A_PAGE

    @pytest.fixture
    def stage(self) -> Iterator[SplunkStage]:
        with respx.mock(assert_all_called=False) as router:
            yield SplunkStage(router)
