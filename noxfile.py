"""What maintainers run: every Python, wheels, benchmarks. `nox --list` names the sessions; `make` uses some of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
CORE = "packages/checking-core"
MEMBERS = sorted(
    str(project.parent.relative_to(ROOT))
    for folder in ("packages", "plugins")
    for project in (ROOT / folder).glob("*/pyproject.toml")
)
PYTHONS = ["3.11", "3.12", "3.13"]
PYTEST = ["pytest", "-n", "logical", "--maxprocesses", "4", "--dist", "loadgroup"]

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True  # a Python that is not there is a failure, not a silent skip
nox.options.sessions = ["lint", "types", "imports", "docs", "tests"]
os.environ |= {"UV_NO_SYNC": "1", "UV_PYTHON_DOWNLOADS": "never"}


def install(session: nox.Session, *groups: str) -> None:
    """The workspace in place, with the pinned versions of what it and these groups need."""
    editable = [part for member in MEMBERS for part in ("-e", extras(member))]
    session.install("-c", "constraints.txt", *editable, *(f"--group={group}" for group in groups))


def extras(member: str) -> str:
    """Core with all that the other packages and the tests use of it."""
    return f"{member}[storage,postgres,amqp,testing]" if member == CORE else member


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every supported Python; arguments after -- go to pytest."""
    install(session, "test")
    session.run(*PYTEST, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and known security mistakes."""
    session.install("-c", "constraints.txt", "--group=quality")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", "packages", "plugins")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "test", "quality")
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Check who may import whom."""
    install(session, "quality")
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the examples in README and docs, and follow their links."""
    install(session, "test")
    session.run("pytest", "tests/meta/test_docs.py", *session.posargs)


@nox.session
def api(session: nox.Session) -> None:
    """Ask the API everything that its description allows, and much that it forbids; arguments after -- go there."""
    install(session, "test")
    session.install("schemathesis>=4.32,<5")
    schemathesis = Path(session.bin) / "schemathesis"
    session.run("python", "-m", "tests.acceptance.api_fuzz", str(schemathesis), *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches the tests reach."""
    install(session, "test", "quality")
    session.run(*PYTEST, "--cov", "--cov-report=term:skip-covered", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Change matching and judging in every small way, one at a time: a test has to notice nine of ten.

    Arguments after -- name mutants, such as ``checking_core.matching.window*``; the others are not judged then.
    """
    install(session, "test", "mutants")
    work = Path(session.create_tmp()).resolve()
    shutil.rmtree(work)
    shutil.copytree(f"{CORE}/src", work / "src")
    shutil.copytree("tests", work / "tests")
    config = Path("pyproject.toml").read_text(encoding="utf-8") + mutmut_config()
    (work / "pyproject.toml").write_text(config, encoding="utf-8")
    session.chdir(work)
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")
    session.run("mutmut", "export-cicd-stats")
    counts = json.loads((work / "mutants" / "mutmut-cicd-stats.json").read_text(encoding="utf-8"))
    if not session.posargs and counts["killed"] < 0.9 * counts["total"]:
        session.error(f"only {counts['killed']} of {counts['total']} mutants were noticed")


def mutmut_config() -> str:
    """What to change, and the tests that have to notice: those of the rules, one by one, without those of any data."""
    rules = [
        path
        for name in ("judge", "looks", "matching_*", "upgrade")
        for path in Path("tests").glob(f"core/test_{name}.py")
    ]
    tests = sorted(str(path) for path in rules if "properties" not in path.name)
    return f"""
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/checking_core/matching/*"]
pytest_add_cli_args_test_selection = {json.dumps(tests)}
"""


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks, or the one that is named after -- with its arguments."""
    install(session, "test")
    everything = [[str(script)] for script in sorted(Path("benchmarks").glob("*.py"))]
    for arguments in [session.posargs] if session.posargs else everything:
        session.run("python", *arguments)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill any process while messages flow, take the database and the workers away, be slow: fault_runs.py says how."""
    install(session, "test")
    session.run("python", "-m", "tests.acceptance.fault_runs")


@nox.session
def lock(session: nox.Session) -> None:
    """Write the newest allowed versions into constraints.txt, for every platform, without any index's address."""
    session.install("-c", "constraints.txt", "uv")
    session.run("uv", "lock", "--quiet", "--upgrade")
    session.run(
        *("uv", "export", "--quiet", "--all-packages", "--all-groups", "--all-extras", "--no-emit-workspace"),
        *("--no-hashes", "--no-annotate", "--no-header", "--output-file", "constraints.txt"),
    )


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every wheel, install them into an empty environment, run the demo and begin a plugin from there."""
    work = Path(session.create_tmp()).resolve()
    shutil.rmtree(work)
    work.mkdir()
    session.run("uv", "build", "--quiet", "--all-packages", "--wheel", "--out-dir", str(work), external=True)
    built = sorted(work.glob("*.whl"))
    if len(built) != len(MEMBERS):
        session.error(f"{len(MEMBERS)} packages, but these wheels: {[wheel.name for wheel in built]}")
    for wheel in built:
        names = {Path(name).name for name in zipfile.ZipFile(wheel).namelist()}
        if missing := {"py.typed", "LICENSE"} - names:
            session.error(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    session.install("-c", "constraints.txt", *map(str, built))
    session.chdir(work)
    session.run("checking", "demo")
    session.run("checking", "plugins", "new", "from-the-wheel")


@nox.session
def worker_alone(session: nox.Session) -> None:
    """Install core and a plugin without server and database, and let a worker serve a real broker from there."""
    session.install("-c", "constraints.txt", f"{CORE}[amqp]", "plugins/mock")
    absent = ("checking_server", "sqlalchemy", "alembic", "aiosqlite", "asyncpg", "litestar", "cyclopts", "rich")
    look = "import sys; from importlib.util import find_spec; sys.exit(' '.join(filter(find_spec, sys.argv[1:])) or 0)"
    session.run("python", "-c", look, *absent)
    tests = ("-m", "pytest", "tests/acceptance/test_worker_process.py", *session.posargs)
    worker = {"CHECKING_TEST_WORKER": str(Path(session.bin) / "checking-worker")}
    session.run(sys.executable, *tests, env=worker, external=True)
