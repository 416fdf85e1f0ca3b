"""Sigma rules over telemetry in files: events a second with few rules and with thousands, memory, first verdict.

    python benchmarks/sigma_rules.py [--events 1000000] [--rules 2900] [--rule-folder DIR] [--zircolite COMMAND]

The telemetry are the recorded attacks of CHECKING_SHARED_DATA (default ../shared/data), again and again until there are
enough events, each line with a number of its own. The rules are those of the recordings and variants of them with other
texts, and one that looks for twenty words in any field; --rule-folder takes a clone of SigmaHQ/sigma in their place.
Each case is a process of its own: CPU seconds of one core, JSON included; the rules come out of a warm cache. Every
case says what became of each rule. The first verdict is a whole `checking sigma scan`, from the start of Python.

Zircolite is on no package index, so its command is named, such as 'python zircolite.py -j -e {events} -r {rules}' in
its checkout: it gets the same events unpacked, and the same rules, and its start counts as ours does. Without it there
is a line that says so.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from rig.figures import medians, tell

from checking_plugin_sigma.rules.cache import RuleCache
from checking_plugin_sigma.rules.load import load_rules
from checking_plugin_sigma.survey import survey

SHARED = Path(os.environ.get("CHECKING_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data") / "sigma"
FEW = 10
WORDS = [f"{tool}::{verb}" for tool in ("mimi", "kata", "zulu", "sekur") for verb in ("a1", "b2", "c3", "d4", "e5")]
FIRST = "proc_creation_win_rundll32_process_dump_via_comsvcs.yml", "psh_lsass_memory_dump_comsvcs.jsonl.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rules", type=int, default=2900)
    parser.add_argument("--rule-folder", type=Path)
    parser.add_argument("--zircolite", help="its command, with {events} and {rules} in it")
    parser.add_argument("--case", nargs=3, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        measure(*chosen.case)
        return
    with tempfile.TemporaryDirectory(prefix="checking-sigma-") as name:
        folder = Path(name)
        many = chosen.rule_folder or written_rules(folder / "many", chosen.rules)
        few = written_rules(folder / "few", FEW)
        large = written_events(folder / "large.jsonl", chosen.events)
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        recordings = folder / "recordings"
        recordings.symlink_to(SHARED)
        for rules in (few, many):
            load_rules(rules, cache=RuleCache(folder / "cache"))
            for telemetry in (recordings, large):
                case(rules, telemetry, folder / "cache")
            beside(chosen.zircolite, rules, large, chosen.events)
        first_verdict(folder)


def case(rules: Path, telemetry: Path, cache: Path) -> None:
    words = [sys.executable, __file__, "--case", str(rules), str(telemetry), str(cache)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    tell(f"{rules.name} rules, {telemetry.name}", json.loads(done.stdout))


def beside(command: str | None, rules: Path, events: Path, count: int) -> None:
    """Zircolite over the same, or why there is no figure of it."""
    name = f"Zircolite, {rules.name} rules, {events.name}"
    if command is None:
        print(f"{name}: not measured, for it is not installed here: name its command with --zircolite")
        return
    words = [word.format(events=events, rules=rules) for word in shlex.split(command)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            last = output.read().decode(errors="replace").strip().splitlines()[-1:]
            print(f"{name}: not measured, for it ended with {process.returncode}: {''.join(last)}")
            return
    taken = used.ru_utime + used.ru_stime
    tell(name, {"events": count, "events/s": count / taken, "seconds": taken, "peak MB": used.ru_maxrss / 1024})


def measure(rules: Path, telemetry: Path, cache: Path) -> None:
    """One case, in this process."""
    began = time.process_time()
    loaded = load_rules(rules, cache=RuleCache(cache))
    read = time.process_time() - began
    files = sorted(telemetry.glob("*.jsonl.gz")) if telemetry.is_dir() else [telemetry]
    began = time.process_time()
    found = survey(loaded, files)
    taken = time.process_time() - began
    assert found.given == found.evaluated + len(found.not_evaluable) + len(found.refused) + found.left_out
    figures = {
        "events": found.events,
        "events/s": found.events / taken,
        "rules": found.given,
        "evaluated": found.evaluated,
        "not evaluable": len(found.not_evaluable),
        "refused": len(found.refused),
        "rules that hit": len(found.hits),
        "seconds": taken,
        "rules read in": read,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


def first_verdict(folder: Path) -> None:
    """One rule over one small file, as a person would ask, once to warm the cache and then five times."""
    rule, recording = FIRST
    words = ["sigma", "scan", "--rules", str(SHARED / "rules" / rule), "--events", str(SHARED / recording)]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "home")}
    runs = []
    for _ in range(6):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [str(Path(sys.executable).parent / "checking"), *words], check=True, capture_output=True, env=environment
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        runs.append({"seconds": time.perf_counter() - began, "CPU seconds": cpu})
    tell("first verdict of one rule, cold cache", runs[0])
    tell("first verdict of one rule, warm cache", medians(runs[1:]))


def written_events(path: Path, count: int) -> Path:
    texts = (gzip.decompress(recording.read_bytes()) for recording in sorted(SHARED.glob("*.jsonl.gz")))
    lines = [line.rstrip() for text in texts for line in text.splitlines() if line.strip()]
    with path.open("wb") as file:
        for number in range(count):
            line = lines[number % len(lines)]
            file.write(line[:-1] + b',"RecordNumber":%d}\n' % number)
    return path


def written_rules(folder: Path, count: int) -> Path:
    folder.mkdir()
    texts = [path.read_text(encoding="utf-8") for path in sorted((SHARED / "rules").glob("*.yml"))]
    for number in range(count - (count > len(texts))):
        variant, place = divmod(number, len(texts))
        (folder / f"{number}.yml").write_text(texts[place] if not variant else varied(texts[place], variant))
    if count > len(texts):
        words = {"title": "Words", "logsource": {"product": "windows"}}
        words["detection"] = {"words": WORDS, "condition": "words"}  # type: ignore[assignment]
        (folder / "words.yml").write_text(yaml.safe_dump(words))
    return folder


def varied(text: str, variant: int) -> str:
    """The same rule about other texts: as costly to parse and to look for, and no duplicate of anything."""
    rule = yaml.safe_load(text)
    detection = {name: other(part, variant) for name, part in rule["detection"].items() if name != "condition"}
    rule["detection"] = {**detection, "condition": rule["detection"]["condition"]}
    return yaml.safe_dump(rule, allow_unicode=True)


def other(part: object, variant: int) -> object:
    if isinstance(part, dict):
        return dict(others(part, variant))
    if isinstance(part, list):
        return [other(item, variant) for item in part]
    return f"{part[:-1]}{variant}{part[-1:]}" if isinstance(part, str) else part


def others(part: dict[str, object], variant: int) -> Iterator[tuple[str, object]]:
    for name, value in part.items():
        kept = "|re" in name or "|cidr" in name or name == "EventID"
        yield name, value if kept else other(value, variant)


if __name__ == "__main__":
    main()
