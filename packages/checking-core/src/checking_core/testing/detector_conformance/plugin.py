"""Rules about what a detector is to the worker that loads it."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import msgspec
import pytest

from checking_core.contracts import Ask
from checking_core.plugin.base import BaseWorker
from checking_core.plugin.detector_loader import problem_of
from checking_core.plugin.host import PluginHost
from checking_core.testing.detector_conformance.asking import Asking
from checking_core.testing.detector_conformance.stage import KitClock, Relaxation, Stage

__all__ = ["PluginRules"]


class PluginRules(Asking):
    """It can be loaded, configured, closed, and has no state before it is started."""

    def test_it_is_a_detector_that_a_worker_can_load(self, detector: BaseWorker) -> None:
        assert problem_of(type(detector)) is None

    def test_its_entry_point_loads(self, detector: BaseWorker) -> None:
        self.needs(Relaxation.ENTRY_POINT)
        assert PluginHost.load().detectors.get(detector.platform) is type(detector)

    def test_its_configuration_survives_a_round_trip(self, detector: BaseWorker) -> None:
        for ask in sorted(detector.answers):
            config = detector.Config.model_validate(self.config(ask))
            again = config.model_dump(mode="json", exclude_none=True)
            assert detector.Config.model_validate(msgspec.json.decode(msgspec.json.encode(again))) == config, ask

    def test_its_configuration_has_a_schema(self, detector: BaseWorker) -> None:
        schema = msgspec.json.encode(detector.Config.model_json_schema())
        assert all(f'"{ask}"'.encode() in schema for ask in Ask)

    def test_it_reads_the_common_keys_as_every_detector(self, detector: BaseWorker) -> None:
        config = detector.Config.model_validate({"alert": {}, "before_reported_time": "15m", "of_another": "plugin"})
        assert config.asks == {Ask.ALERT}
        assert config.before_reported_time == 900

    async def test_it_can_be_closed_unused_and_twice(self, stage: Stage, clock: KitClock) -> None:
        detector = stage.detector(clock=clock)
        await detector.close()
        await detector.close()
        assert isinstance(detector, BaseWorker)

    def test_what_is_relaxed_has_a_reason(self, request: pytest.FixtureRequest) -> None:
        assert all(reason.strip() for reason in self.relaxed.values()), request.node.nodeid
