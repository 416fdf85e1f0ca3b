"""What a report says (``shapes``), and its texts for programs, spreadsheets and tickets. Pure; stores are elsewhere."""

from checking_core.report.next_steps import next_steps
from checking_core.report.shapes import (
    Counts,
    OperationLine,
    OperationReport,
    OperationsReport,
    ReportedCheck,
    ReportedEvidence,
    ReportedExecution,
    ReportedOperation,
    ReportLine,
    Summary,
    Unchecked,
)
from checking_core.report.to_csv import to_csv
from checking_core.report.to_json import to_json
from checking_core.report.to_markdown import to_markdown

__all__ = [
    "Counts",
    "OperationLine",
    "OperationReport",
    "OperationsReport",
    "ReportLine",
    "ReportedCheck",
    "ReportedEvidence",
    "ReportedExecution",
    "ReportedOperation",
    "Summary",
    "Unchecked",
    "next_steps",
    "to_csv",
    "to_json",
    "to_markdown",
]
