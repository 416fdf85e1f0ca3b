"""What is committed works anywhere: it names no package registry and no path of one machine."""

from __future__ import annotations

import re

from .tree import place, project_files

# Written in two halves, so that this file does not name them.
REGISTRIES = ["pypi" + ".org", "python" + "hosted.org", "npmjs" + ".org", "npmjs" + ".com", "deb." + "debian.org"]
PATHS_OF_A_MACHINE = ["/wo" + "rk/", "/ro" + "ot/", "/fa" + "rm/"]


def places_of(pattern: str) -> str:
    """``file:line`` of every line where the pattern is found, one below the other."""
    found = re.compile(pattern)
    return "\n".join(
        place(path, number)
        for path in project_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if found.search(line)
    )


def test_no_file_names_a_package_registry() -> None:
    assert places_of("|".join(map(re.escape, REGISTRIES))) == ""


def test_no_file_names_a_path_of_one_machine() -> None:
    assert places_of("|".join(PATHS_OF_A_MACHINE)) == ""
