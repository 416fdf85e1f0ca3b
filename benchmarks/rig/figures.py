"""How figures are printed: a line for each run, then their medians."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence

__all__ = ["Figures", "medians", "options", "percentile", "tell"]

Figures = Mapping[str, float]


def options(description: str | None, **counts: int) -> argparse.ArgumentParser:
    """A command line whose options are whole numbers with these defaults."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    for name, default in counts.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"default: {default}")
    return parser


def tell(name: str, figures: Figures) -> None:
    """One line, at once."""
    print(f"{name}:", ", ".join(f"{key} {value:,.4g}" for key, value in figures.items()), flush=True)


def medians(runs: Sequence[Figures]) -> dict[str, float]:
    """Of each figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
