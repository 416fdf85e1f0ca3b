"""Elasticsearch and Elastic Security: alerts of the detection engine, and searches in Lucene, DSL, EQL and ES|QL."""

from __future__ import annotations

from checking_core import hookimpl
from checking_plugin_elastic.detector import ElasticDetector


@hookimpl
def checking_detectors() -> list[type[ElasticDetector]]:
    """The detectors of this plugin."""
    return [ElasticDetector]
