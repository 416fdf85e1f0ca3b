"""The kit for detectors: a faithful one passes it whole, and each usual mistake fails it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec
import pytest
import respx
from tests.core.http_product import PAGE, HttpDetector, HttpStage

from checking_core import BackendRateLimitedError, BackendUnreachableError, DetectionError, SearchAnswer, SearchRequest
from checking_core.contracts import Ask
from checking_core.matching.record import AnyRecord
from checking_core.testing import DetectorConformance, KitClock, Relaxation


class TestHttpProduct(DetectorConformance):
    relaxed: ClassVar = {Relaxation.ENTRY_POINT: "it lives in this test"}
    page_size = PAGE
    query_with_placeholder = "command = ${command}"

    @pytest.fixture
    def stage(self) -> Iterator[HttpStage]:
        with respx.mock(assert_all_called=False) as router:
            yield HttpStage(router)


class SwallowsErrors(HttpDetector):
    async def search(self, request: SearchRequest) -> SearchAnswer:
        try:
            return await super().search(request)
        except DetectionError:
            return SearchAnswer(records=[])


class TakesEveryErrorForAnOutage(HttpDetector):
    async def search(self, request: SearchRequest) -> SearchAnswer:
        try:
            return await super().search(request)
        except DetectionError as error:
            raise BackendUnreachableError("error") from error


class ForgetsHowLongToWait(HttpDetector):
    async def search(self, request: SearchRequest) -> SearchAnswer:
        try:
            return await super().search(request)
        except BackendRateLimitedError as error:
            raise BackendRateLimitedError("429") from error


class ReadsOnePage(HttpDetector):
    async def search(self, request: SearchRequest) -> SearchAnswer:
        answer = await super().search(request)
        return SearchAnswer(records=answer.records[:PAGE])


class KeepsQuietAboutMissingParts(HttpDetector):
    async def search(self, request: SearchRequest) -> SearchAnswer:
        return msgspec.structs.replace(await super().search(request), complete=True)


class TellsItsSecret(HttpDetector):
    async def search(self, request: SearchRequest) -> SearchAnswer:
        answer = await super().search(request)
        return msgspec.structs.replace(answer, query_sent=f"{self.settings.token.get_secret_value()} {request.query}")


class Changes(HttpDetector):
    changes: ClassVar[dict[str, Any]]

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        return msgspec.structs.replace(super().normalise(record), **self.changes)


class NamesNoHost(Changes):
    changes: ClassVar = {"hosts": ()}


class NamesEveryHost(Changes):
    changes: ClassVar = {"hosts": ("ws01",)}


class NarrowsTooMuch(HttpDetector):
    async def search(self, request: SearchRequest) -> SearchAnswer:
        answer = await super().search(request)
        if not request.hosts:
            return answer
        return SearchAnswer(records=[record for record in answer.records if record["host"] in request.hosts])


class HasNoTimes(Changes):
    changes: ClassVar = {"event_at": None, "created_at": None}


class HasNoIds(Changes):
    changes: ClassVar = {"id": "record"}


@pytest.mark.parametrize(
    ("mistaken", "rule"),
    [
        (SwallowsErrors, "test_an_outage_is_no_answer_and_is_asked_again"),
        (SwallowsErrors, "test_wrong_credentials_are_told_at_once"),
        (SwallowsErrors, "test_a_limit_of_requests_is_kept_for_as_long_as_the_product_asks"),
        (TakesEveryErrorForAnOutage, "test_wrong_credentials_are_told_at_once"),
        (TakesEveryErrorForAnOutage, "test_a_limit_of_requests_is_kept_for_as_long_as_the_product_asks"),
        (ForgetsHowLongToWait, "test_a_limit_of_requests_is_kept_for_as_long_as_the_product_asks"),
        (ReadsOnePage, "test_the_record_on_the_last_page_is_found"),
        (KeepsQuietAboutMissingParts, "test_a_partial_answer_proves_no_miss"),
        (NamesNoHost, "test_a_record_of_another_host_is_a_near_miss"),
        (NamesEveryHost, "test_a_record_of_another_host_is_a_near_miss"),
        (NarrowsTooMuch, "test_where_there_is_much_no_form_of_the_hosts_name_is_overlooked"),
        (HasNoTimes, "test_what_happened_before_the_attack_is_no_hit"),
        (HasNoIds, "test_two_executions_in_one_minute_on_one_host_get_their_own_record_first"),
    ],
)
async def test_a_mistaken_detector_is_found_out(mistaken: type[HttpDetector], rule: str) -> None:
    with respx.mock(assert_all_called=False) as router:
        stage = HttpStage(router, mistaken)
        detector = stage.detector(clock=KitClock())
        with pytest.raises(AssertionError):
            await getattr(TestHttpProduct(), rule)(stage, detector, Ask.ALERT)
        await detector.close()


async def test_a_secret_in_a_result_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    with respx.mock(assert_all_called=False) as router:
        stage = HttpStage(router, TellsItsSecret)
        detector = stage.detector(clock=KitClock())
        with pytest.raises(AssertionError):
            await TestHttpProduct().test_no_secret_gets_into_results_and_logs(
                stage, detector, Ask.TELEMETRY, caplog, None
            )
        await detector.close()


def test_what_is_relaxed_is_skipped_with_its_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="relaxed, entry_point: it lives in this test"):
        TestHttpProduct().needs(Relaxation.PAGES, Relaxation.ENTRY_POINT)
