"""docs/reference/settings.md names every variable, its default and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from checking_core.settings import BackendSettings, describe, variables_of

from .test_settings import ROOMS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md"


def rows() -> dict[str, str]:
    """Rows of the document's tables by the variable in their first cell."""
    cells = (line.split("|")[1:-1] for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line[:1] == "|")
    return {match[1]: "|".join(row) for row in cells if (match := re.match(r"\s*`([A-Z_]+)`", row[0]))}


@pytest.mark.parametrize("kind", ROOMS)
def test_every_setting_is_documented_with_its_names_and_default(kind: type[BaseSettings]):
    documented = rows()
    for name, setting in zip(kind.model_fields, describe(kind.model_construct()), strict=True):
        first, *originals = variables_of(kind, name)
        assert first in documented, f"{first} is missing in {DOCUMENT.name}"
        for original in originals:
            assert f"`{original}`" in documented[first]
        assert setting.value in ("not set", "none") or f"`{setting.value}`" in documented[first]


def test_nothing_is_documented_that_does_not_exist():
    known = {variable for kind in ROOMS for name in kind.model_fields for variable in variables_of(kind, name)}
    assert rows().keys() <= known


@pytest.mark.parametrize("field", BackendSettings.model_fields)
def test_every_key_of_a_backend_is_documented(field: str):
    assert f"| `{field}` |" in DOCUMENT.read_text(encoding="utf-8")
