"""A search head of which each step of a job can be told how to answer; and what was recorded of real ones."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import respx
from pydantic import SecretStr

from checking_core import DetectionResult
from checking_core.settings import WorkerSettings
from checking_core.testing import STARTED, KitClock, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_splunk.detector import SplunkDetector
from checking_plugin_splunk.settings import SplunkSettings

from .splunk_stage import URL, SplunkStage

SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
ALERT = {"alert": {"rule": "LSASS dump"}}
SEARCH = {"telemetry": {"query": "index=main rundll32"}}
QUOTA = "The maximum number of concurrent historical searches on this instance has been reached"
SUBSTITUTED = "Your timerange was substituted based on your search string"


class SearchHead(SplunkStage):
    """Answers as the stage does, but for the requests that are told otherwise."""

    def __init__(self, router: respx.Router) -> None:
        super().__init__(router)
        self.says: dict[str, list[httpx.Response]] = {}

    def found(self, request: httpx.Request) -> httpx.Response:
        answers = self.says.get(step_of(request), [])
        if not answers:
            return super().found(request)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def say(self, step: str, *answers: httpx.Response | dict[str, Any]) -> None:
        """Answer a step with these, one after the other, the last again and again."""
        self.says[step] = [one if isinstance(one, httpx.Response) else httpx.Response(200, json=one) for one in answers]

    def detector(self, **options: Any) -> SplunkDetector:
        self.waits: list[float] = []
        return super().detector(sleep=self.wait, **options)

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def look(self, config: dict[str, Any], **settings: Any) -> DetectionResult:
        detector = self.detector(clock=KitClock())
        if settings:
            told = {"url": URL, "token": SecretStr(self.secret), "index": "main", **settings}
            detector = SplunkDetector("splunk", SplunkSettings(**told), clock=KitClock(), sleep=self.wait)
        try:
            return await run_task(detector, a_task(detection_config=config, max_retries=0), SETTINGS)
        finally:
            await detector.close()

    def asked_for(self, words: str) -> int:
        """How many jobs were created to search for these words, however often an index was looked for besides."""
        return sum(words in form["search"] and "eventcount" not in form["search"] for form in self.forms)

    def steps(self) -> list[str]:
        return [step_of(request) for request in self.asked]


def step_of(request: httpx.Request) -> str:
    path = request.url.path
    if path.endswith("/auth/login"):
        return "login"
    if path.endswith("/jobs"):
        return "create"
    if path.endswith("/results"):
        return "results"
    return {"DELETE": "delete"}.get(request.method, "poll")


def told(shared_data: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared_data / "backends" / "splunk" / f"{name}.json").read_text())
    return found


def recorded(shared_data: Path, name: str) -> httpx.Response:
    """An exchange, in the XML in which it was recorded."""
    one = told(shared_data, name)
    return httpx.Response(one["status"], text=one["body_xml"], headers={"Content-Type": "text/xml"})


def keys_of(xml: str) -> dict[str, str]:
    """The state of a recorded job: what is XML's key is JSON's."""
    return dict(re.findall(r'<s:key name="(\w+)">([^<]*)</s:key>', xml))


def a_row(**changes: Any) -> dict[str, Any]:
    return {
        "_bkt": "main~1~B",
        "_cd": "1:2",
        "_time": STARTED.isoformat(),
        "host": "WS01",
        "process_id": "4242",
    } | changes


def a_page(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"preview": False, "init_offset": 0, "messages": [], "results": list(rows)} | changes


def a_state(content: dict[str, Any]) -> dict[str, Any]:
    return {"entry": [{"content": content}]}
