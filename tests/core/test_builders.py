"""The builders that every other test starts from are themselves right."""

from __future__ import annotations

import msgspec

from checking_core.contracts import decode_link_message, decode_result, decode_task, encode
from checking_core.testing import ENDED, a_link_message, a_result, a_task, an_execution


def test_a_published_execution_is_read_as_the_one_that_was_built():
    read = decode_link_message(a_link_message(7), received_at=ENDED).execution
    assert read is not None
    built = an_execution(7)
    same = {name: getattr(built, name) for name in built.__struct_fields__ if name not in ("procedure", "result_data")}
    assert {name: getattr(read, name) for name in same} == same
    assert msgspec.structs.replace(read.procedure, fingerprint="") == msgspec.structs.replace(
        built.procedure, fingerprint=""
    )


def test_fields_of_a_message_are_replaced():
    message = decode_link_message(a_link_message(command="whoami", operation={"name": "Other run"}), received_at=ENDED)
    assert message.execution is not None
    assert (message.execution.command, message.operation.name) == ("whoami", "Other run")


def test_a_task_and_its_result_fit_together():
    assert a_result(3).id == a_task(3).task_id
    assert a_result(3, look=2).id == a_task(3, look=2).task_id != a_task(3).task_id
    assert a_task(3).detection_execution_id != a_task(4).detection_execution_id


def test_what_is_built_travels_unchanged():
    assert decode_task(encode(a_task())) == a_task()
    assert decode_result(encode(a_result())) == a_result()


def test_keywords_reach_the_execution_context_of_a_task():
    task = a_task(agent_host="dc01", max_retries=4)
    assert (task.execution_context.agent_host, task.max_retries) == ("dc01", 4)
