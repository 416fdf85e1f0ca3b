"""Where the tasks in flight are: still waiting in their queue, or taken, or lost. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple
from uuid import UUID

from checking_core.transport.base import QueueState
from checking_server.flow.rows import Row

__all__ = ["Place", "places"]


class Place(NamedTuple):
    """The queue that a task was sent to, and how many tasks in flight were sent there after it."""

    queue: str
    later: int

    def may_wait(self, state: QueueState) -> bool:
        """Whether the task can still be in the queue.

        A queue hands out its oldest message first, so those that wait in it are the ones that were sent last. Messages
        of no use any more (a task that was sent twice, one of a check that is closed) can only turn a no into a yes.
        """
        return self.later < state.waiting


def places(checks: Iterable[Row], queue_of: Callable[[Row], str]) -> dict[UUID, Place]:
    """The place of every check in flight. Of two that became due together none counts as sent later.

    Args:
        checks: all that are in flight, in the order of ``available_at``, which is the order of sending.
        queue_of: where a check's task waits.
    """
    lanes: dict[str, list[Row]] = defaultdict(list)
    for check in checks:
        lanes[queue_of(check)].append(check)
    found = {}
    for queue, lane in lanes.items():
        sent = [check["available_at"] for check in lane]
        found.update(
            {check["id"]: Place(queue, len(sent) - bisect_right(sent, check["available_at"])) for check in lane}
        )
    return found
