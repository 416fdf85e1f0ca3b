"""auditd's text: command lines are whole, or it is said that they are not."""

from __future__ import annotations

import gzip

import pytest

from checking_plugin_sigma.evaluate.scan import Scanner

from .rules_and_events import a_rule

AUDIT = """\
node=web1 type=SYSCALL msg=audit(1603000000.123:7): syscall=59 success=yes ppid=10 pid=11 auid=1000 exe="/usr/bin/cat"
node=web1 type=EXECVE msg=audit(1603000000.123:7): argc=3 a0="cat" a1="-n" a2=2F6574632F706173737764
node=web1 type=CWD msg=audit(1603000000.123:7): cwd="/root"
node=web1 type=PATH msg=audit(1603000000.123:7): item=0 name="/usr/bin/cat" inode=1
node=web1 type=PROCTITLE msg=audit(1603000000.123:7): proctitle=636174002D6E
node=web1 type=USER_LOGIN msg=audit(1603000001.000:8): msg='op=login acct="root" exe="/usr/sbin/sshd" res=failed'
nonsense
node=web1 type=SYSCALL msg=audit(1603000002.000:9): syscall=2 success=yes pid=13
"""


def test_audit_records_of_one_serial_are_the_start_of_a_process_and_events_of_their_own(tmp_path):
    (tmp_path / "audit.log").write_text(AUDIT)
    start = a_rule(
        {
            "Image|endswith": "/cat",
            "CommandLine": "cat -n /etc/passwd",
            "CurrentDirectory": "/root",
            "ProcessId": 11,
            "ParentProcessId": 10,
        },
        logsource={"product": "linux", "category": "process_creation"},
    )
    login = a_rule(
        {"type": "USER_LOGIN", "acct": "root", "res": "failed"}, logsource={"product": "linux", "service": "auditd"}
    )
    argument = a_rule({"type": "EXECVE", "a2": "/etc/passwd"}, logsource={"product": "linux", "service": "auditd"})
    scanner = Scanner([start, login, argument])
    found = {hit.rule.condition: hit.event for hit in scanner.scan(tmp_path / "audit.log")}
    assert {rule: found[rule.condition].line for rule in (start, login, argument)} == {start: 1, login: 6, argument: 2}
    assert found[start.condition].host == "web1"
    assert found[start.condition].text("UtcTime") == "2020-10-18T05:46:40.123000+00:00"


def test_a_process_start_that_is_half_written_waits_for_the_rest(tmp_path):
    rule = a_rule({"CommandLine": "cat -n /etc/passwd"}, logsource={"product": "linux", "category": "process_creation"})
    scanner, path = Scanner([rule]), tmp_path / "audit.log"
    first, *rest = AUDIT.splitlines(keepends=True)
    path.write_text(first)
    assert list(scanner.scan(path)) == []
    with path.open("a") as file:
        file.writelines(rest)
    assert [hit.event.line for hit in scanner.scan(path)] == [1]
    assert list(scanner.scan(path)) == []


LINUX = {"product": "linux", "category": "process_creation"}
HEAD = "node=web1 type={} msg=audit(1603000000.123:7): "
CALL = HEAD.format("SYSCALL") + 'syscall=59 success=yes a0=10 pid=11 exe="/bin/sh"\n'
EXECVE, END = HEAD.format("EXECVE"), HEAD.format("PROCTITLE") + "proctitle=7368\n"


def in_hex(text: str) -> str:
    return text.encode().hex().upper()


@pytest.mark.parametrize(
    ("records", "command"),
    [
        (
            [f'argc=3 a0="sh" a1="-c" a2_len=20 a2[0]={in_hex("evil ")}C3 a2[1]=A4{in_hex(" evil")}'],
            "sh -c evil ä evil",
        ),
        (['argc=3 a0="sh" a1="-c" a2_len=8 a2[0]="evil" a2[1]=" evil"'], "sh -c evil evil"),
        (['argc=3 a0="sh" a1="-c"', 'a2="evil evil"'], "sh -c evil evil"),
        (['argc=3 a0="sh" a1="-c" a2_len=8 a2[0]="evil"', 'a2[1]=" evil"'], "sh -c evil evil"),
        (["argc=12 " + " ".join(f'a{place}="{place}"' for place in range(12))], "0 1 2 3 4 5 6 7 8 9 10 11"),
        (['argc=2 a0="sh" a1=41'], "sh A"),
    ],
    ids=["long in hex", "long", "two records", "long in two records", "many", "hex"],
)
def test_a_command_line_is_whole_however_auditd_divides_it(records, command, tmp_path):
    path = tmp_path / "audit.log"
    path.write_text(CALL + "".join(f"{EXECVE}{record}\n" for record in records) + END)
    scanner = Scanner([a_rule({"CommandLine": command}, logsource=LINUX)])
    assert [hit.event.text("Image") for hit in scanner.scan(path)] == ["/bin/sh"]
    assert (scanner.unreadable, scanner.unfinished.total()) == ({}, 0)


@pytest.mark.parametrize("record", ['argc=3 a0="sh" a1="evil"', 'argc=x a0="evil"', 'argc=99999999999 a0="evil"'])
def test_a_process_start_of_which_a_part_is_missing_is_counted_and_shown_as_far_as_it_goes(record, tmp_path):
    path = tmp_path / "audit.log"
    path.write_text(CALL + EXECVE + record + "\n" + END)
    scanner = Scanner([a_rule({"CommandLine|contains": "evil"}, logsource=LINUX)])
    assert len(list(scanner.scan(path))) == 1
    assert scanner.unreadable == {path: 1}


def test_the_arguments_of_a_call_are_numbers_and_no_text_in_hex(tmp_path):
    (tmp_path / "audit.log").write_text(CALL)
    rule = a_rule({"type": "SYSCALL", "a0": 10}, logsource={"product": "linux", "service": "auditd"})
    assert len(list(Scanner([rule]).scan(tmp_path / "audit.log"))) == 1


@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        ('{"A": "x"}\n{"A": ', '"x"}\n'),
        (CALL, EXECVE + 'argc=1 a0="x"\n'),
        (CALL + EXECVE + 'argc=2 a0="x"\n', EXECVE + 'a1="y"\n'),
    ],
    ids=["line", "call", "arguments"],
)
def test_what_is_not_written_to_its_end_is_counted_until_it_is(begun, rest, tmp_path):
    path, scanner = tmp_path / "some.log", Scanner([a_rule({"A": "*"})])
    for text, count in ((begun, 1), ("", 1), (rest, 0)):
        with path.open("a") as file:
            file.write(text)
        list(scanner.scan(path))
        assert (scanner.unfinished[path], scanner.unreadable[path]) == (count, 0)


def test_what_a_packed_log_of_auditd_ends_within_is_counted_as_unreadable(tmp_path):
    (tmp_path / "audit.log.gz").write_bytes(gzip.compress((CALL + EXECVE + 'argc=2 a0="x"\nnonsense\n').encode()))
    scanner = Scanner([a_rule({"A": "*"})])
    list(scanner.scan(tmp_path / "audit.log.gz"))
    assert scanner.unreadable.total() == 2
