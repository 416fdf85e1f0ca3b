"""An operation that was really carried out, through the whole engine, judged by rules over what was really recorded."""

from __future__ import annotations

import json
from pathlib import Path

import checking_plugin_sigma

from .command import checking

SAMPLE = Path(checking_plugin_sigma.__file__).parent / "sample"


def test_a_recorded_operation_is_judged_for_real_reasons(tmp_path: Path) -> None:
    settings = {
        "SIGMA_EVENTS": SAMPLE / "telemetry.jsonl",
        "SIGMA_RULES": SAMPLE / "rules",
        "BACKENDS": '{"sigma": {"plugin": "sigma"}}',
        "EXPECTATIONS": SAMPLE / "expectations.yml",
    }
    done = checking(tmp_path, "ingest", str(SAMPLE / "operation.jsonl"), **settings)
    assert done.returncode == 0, done.stderr
    report = json.loads(checking(tmp_path, "report", "latest", "--format", "json", **settings).stdout)
    checks = {line["check"]["expectation_id"]: line["check"] for line in report["lines"]}
    outcomes = {name: check["outcome"] for name, check in checks.items()}
    hit = dict.fromkeys(("user", "system", "processes", "setuid", "hidden-text", "passwords"), "matched")
    missed = {"accounts": "logged", "accounts-without-a-process": "none"}
    assert outcomes == {**hit, **missed, "connections": "pending"}  # telemetry may still come: it is asked again
    assert [name for name, check in checks.items() if check["in_control_window"]] == ["processes"]
