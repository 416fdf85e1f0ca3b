"""What a report says (``shapes``), and its texts for programs, spreadsheets and tickets. Pure; stores are elsewhere."""

from checking_core.report.changes import changes
from checking_core.report.explanation import Explanation, GivenVerdict, Rival, TakenLook
from checking_core.report.next_steps import next_steps
from checking_core.report.shapes import (
    Counts,
    OperationLine,
    OperationReport,
    OperationsReport,
    ReportedCheck,
    ReportedEvidence,
    ReportedExecution,
    ReportedNearMiss,
    ReportedOperation,
    ReportLine,
    Summary,
    Unchecked,
)
from checking_core.report.to_csv import to_csv
from checking_core.report.to_json import to_json
from checking_core.report.to_markdown import to_markdown
from checking_core.report.to_text import to_text
from checking_core.report.why import why

__all__ = [
    "Counts",
    "Explanation",
    "GivenVerdict",
    "OperationLine",
    "OperationReport",
    "OperationsReport",
    "ReportLine",
    "ReportedCheck",
    "ReportedEvidence",
    "ReportedExecution",
    "ReportedNearMiss",
    "ReportedOperation",
    "Rival",
    "Summary",
    "TakenLook",
    "Unchecked",
    "changes",
    "next_steps",
    "to_csv",
    "to_json",
    "to_markdown",
    "to_text",
    "why",
]
