"""The rules that every detector keeps. Subclass ``DetectorConformance``; pytest runs it.

Needs the extra ``testing`` and ``asyncio_mode = "auto"``.
"""

from checking_core.testing.detector_conformance.answers import AnswerRules
from checking_core.testing.detector_conformance.hostile import HostileRules
from checking_core.testing.detector_conformance.matching import MatchRules
from checking_core.testing.detector_conformance.plugin import PluginRules
from checking_core.testing.detector_conformance.stage import RETRY_AFTER, KitClock, Relaxation, Stage, Trouble
from checking_core.testing.detector_conformance.troubles import TroubleRules

__all__ = ["RETRY_AFTER", "DetectorConformance", "KitClock", "Relaxation", "Stage", "Trouble"]


class DetectorConformance(AnswerRules, MatchRules, TroubleRules, HostileRules, PluginRules):
    """What a verdict relies on, as tests.

    The subclass adds one fixture, ``stage``: a new ``Stage`` that plays the product. What the product or the detector
    lacks is named in ``relaxed``, with the reason; the tests about it are then skipped and say so. Further attributes:
    see ``Asking``.
    """
