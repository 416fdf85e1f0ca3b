"""The reference of the SDK names everything that an author may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from checking_core import Alert, DetectionError, SearchAnswer, SearchDetector, SearchRequest, testing
from checking_core.plugin import BaseWorker
from checking_core.testing import Relaxation, Trouble
from checking_core.testing.detector_conformance.asking import Asking

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "sdk.md").read_text(encoding="utf-8")


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def subclasses(kind: type) -> set[str]:
    return {kind.__name__ for kind in kind.__subclasses__()} | {n for k in kind.__subclasses__() for n in subclasses(k)}


OURS = {name for name in subclasses(DetectionError) if not name.startswith("Retriable")}
NAMES = {
    "SearchDetector": public(SearchDetector) - {"detect"},
    "BaseWorker": public(BaseWorker) - {"look", "cancel_grace"},
    "SearchRequest": set(SearchRequest.__struct_fields__),
    "SearchAnswer": set(SearchAnswer.__struct_fields__),
    "records": set(Alert.__struct_fields__),
    "errors": {name for name in OURS if hasattr(__import__("checking_core"), name)},
    "troubles": set(Trouble.__members__),
    "relaxations": set(Relaxation.__members__),
    "kit": public(Asking) - {"clock", "detector", "ask", "look", "needs", "needs_alerts"},
    "testing": set(testing.__all__)
    - {"ENDED", "STARTED", "OPERATION_ID", "KitClock", "TransportConformance", "hang", "RETRY_AFTER"},
}


@pytest.mark.parametrize("kind", NAMES)
def test_the_reference_names_everything(kind: str) -> None:
    missing = {name for name in NAMES[kind] if f"`{name}" not in PAGE and f"async {name}(" not in PAGE}
    assert NAMES[kind]
    assert not missing
