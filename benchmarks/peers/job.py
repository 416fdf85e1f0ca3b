"""What every peer does for a task: wait as long as it is told, and answer with what our worker would answer.

A peer's program serves tasks when its framework runs it, and sends as many as its first argument says when it is run
by itself. Tasks and answers are JSON objects of the same size as ours; each answer is a persistent message, confirmed
before its task is acked.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

URL = os.environ["PEER_URL"]
TASKS, RESULTS = "peer.tasks", "peer.results"
PREFETCH = int(os.environ["PEER_PREFETCH"])
WAIT = float(os.environ["PEER_WAIT"])

_EXAMPLES = Path(os.environ["PEER_EXAMPLES"])
_RESULT = json.loads((_EXAMPLES / "result.json").read_bytes())
TASK = json.loads((_EXAMPLES / "task.json").read_bytes())


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """The answer to this task."""
    return {**_RESULT, "id": task["task_id"]}


def to_send() -> range:
    """As many as this program was told to send."""
    return range(int(sys.argv[1]))
