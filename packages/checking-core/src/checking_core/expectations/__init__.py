"""Expectations: what people write beside their rules, and how it becomes checks. Pure."""

from checking_core.expectations.lint import lint
from checking_core.expectations.load import Expectation, Expectations, load
from checking_core.expectations.match import UNASSIGNED, plan
from checking_core.expectations.model import schema
from checking_core.expectations.problem import ExpectationsError, LintCode, LintMessage
from checking_core.expectations.reach import reach

__all__ = [
    "UNASSIGNED",
    "Expectation",
    "Expectations",
    "ExpectationsError",
    "LintCode",
    "LintMessage",
    "lint",
    "load",
    "plan",
    "reach",
    "schema",
]
