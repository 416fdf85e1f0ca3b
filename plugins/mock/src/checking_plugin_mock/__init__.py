"""A backend that replies what a scenario says. The smallest complete plugin: read ``detector.py`` next."""

from checking_core import hookimpl
from checking_plugin_mock.detector import MockDetector


@hookimpl
def checking_detectors() -> list[type[MockDetector]]:
    """The detectors of this plugin."""
    return [MockDetector]
