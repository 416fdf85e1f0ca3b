"""``checking plugins new``: what it writes passes the rules of every detector at once, installed like any plugin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from .command import checking, environment

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
CORE = f"{ROOT / 'packages/checking-core'}[testing]"
NO_INDEX = re.compile(r"failed to fetch|error sending request|dns error|connection refused", re.IGNORECASE)
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project of a plugin whose name is spelt differently in each place."""
    written = checking(tmp_path, "plugins", "new", "my-edr2")
    assert (written.returncode, written.stderr) == (0, "")
    assert "Next: cd checking-plugin-my-edr2" in written.stdout
    return tmp_path / "checking-plugin-my-edr2"


@pytest.mark.skipif(UV is None, reason="uv is not installed")
def test_a_new_plugin_passes_its_own_tests_in_an_environment_of_its_own(project: Path):
    python = project.parent / "venv" / "bin" / "python"
    uv("venv", "--quiet", "--python", sys.executable, str(python.parents[1]))
    install(python, "--editable", CORE, str(project))
    done = run([python, "-W", "error", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"], project)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^(\d+) passed in", done.stdout, re.MULTILINE)
    assert passed, f"something was skipped or warned of:\n{done.stdout}"
    assert int(passed[1]) >= 40


def test_a_new_plugin_is_one_that_a_worker_loads(project: Path):
    """As it is installed without building anything: its module on the path, its metadata beside it."""
    info = project / "src" / "checking_plugin_my_edr2-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: checking-plugin-my-edr2\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[checking.plugins]\nmy-edr2 = checking_plugin_my_edr2\n")
    listed = checking(project.parent, "plugins", "list", plugins=project / "src")
    assert re.search(r"my-edr2 +0.1.0 +loaded +my-edr2", listed.stdout), listed.stdout
    unset = checking(project.parent, "plugins", "show", "my-edr2", plugins=project / "src")
    assert unset.returncode == 1
    assert "CHECKING_MY_EDR2_TOKEN: Field required" in unset.stdout


@pytest.mark.skipif(find_spec("mypy") is None or find_spec("ruff") is None, reason="the group quality is not installed")
def test_a_new_plugin_is_typed_and_tidy(project: Path):
    style = ["--isolated", "--line-length", "120", "--target-version", "py311", "."]
    for words in (
        ["ruff", "check", "--select", "ASYNC,B,E,F,I,PT,RUF,SIM,UP,W", *style],
        ["ruff", "format", "--check", *style],
        ["mypy", "--strict", "--no-incremental", "src", "tests"],
    ):
        done = run([sys.executable, "-m", *words], project, MYPYPATH="src")
        assert done.returncode == 0, done.stdout


def install(python: Path, *what: str) -> None:
    """Install from the cache if all of it is there, else from the package index."""
    command = ("pip", "install", "--quiet", "--python", str(python), "--constraint", str(ROOT / "constraints.txt"))
    if uv(*command, "--offline", *what, check=False).returncode == 0:
        return
    done = uv(*command, *what, check=False)
    if done.returncode and NO_INDEX.search(done.stdout):
        pytest.skip(f"no package index is reachable: {done.stdout.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stdout


def uv(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run uv as the Makefile does: with this Python only, and behind the mirror that pip was told of."""
    assert UV is not None
    told = {"UV_PYTHON_DOWNLOADS": "never", **os.environ}
    if "PIP_INDEX_URL" in told:
        told.setdefault("UV_DEFAULT_INDEX", told["PIP_INDEX_URL"])
    if any(map(os.path.exists, CERTIFICATES)):
        told.setdefault("UV_SYSTEM_CERTS", "1")
    done = run([UV, *words], ROOT, bare=False, **told)
    assert not (check and done.returncode), done.stdout
    return done


def run(
    command: Sequence[str | Path], folder: Path, *, bare: bool = True, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run to the end, errors among the output; ``bare`` with nothing of this environment."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, {}) | settings if bare else settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=90,
    )
