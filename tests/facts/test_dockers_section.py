"""Docker in the guests as the node asks for it, with fake tools; tests/lab has real guests."""

import os
import re

import pytest

from tests.facts.guests import Guests


@pytest.fixture
def node(tmp_path):
    return Guests(tmp_path)


def states(found):
    return {int(ctid): docker["state"] for ctid, docker in found.items()}


def test_each_guest_gets_its_own_answer_whatever_the_others_do(node):
    fails = "echo no >&2; exit"
    guests = {
        910: "echo guest 1; echo os debian 13; printf 'daemon-file 0 0 600\\n{\\n\\n}\\n\\n'",
        952: f"{fails} 1",
        953: "exit 44",
        954: "trap '' TERM; while :; do sleep 1; done",
        955: "exec yes 'guest 1'",
        956: f"{fails} 127",
        957: "setsid sleep 5 & echo guest 1",
        960: f'rm "$PHOENIX_ROOT/proc/9600/status"; {fails} 1',
    }
    for ctid, script in guests.items():
        node.runs(ctid, script)
    found = node.ask(*guests)
    assert states(found) == {
        910: "ok",
        952: "failed",
        953: "none",
        954: "hung",
        955: "flooded",
        956: "noshell",
        957: "ok",
        960: "stopped",
    }
    assert found["910"]["text"] == "guest 1\nos debian 13\ndaemon-file 0 0 600\n{\n\n}\n\n"
    assert found["952"] == {"state": "failed", "text": "", "error": "no"}


def test_a_container_that_is_one_program_is_never_entered(node):
    for ctid in (910, 952, 953):
        node.runs(ctid, 'echo "$GUEST" >>"$FAKE/entered"; echo guest 1')
    node.has("/var/lib/lxc/952/config", "lxc.init.cmd = /sbin/init\nlxc.init.cmd = /app -x\n")
    node.has("/var/lib/lxc/953/config", "lxc.init.cmd = /app\nlxc.init.cmd = /sbin/init\n")
    expected = {910: "ok", 952: "application", 953: "ok"}
    assert states(node.ask(910, 952, 953)) == states(node.ask()) == expected
    assert {*(node.fake / "entered").read_text().split()} == {"910", "953"}


def test_only_where_it_is_asked_for_an_overlay_is_tried(node):
    for ctid in (910, 952):
        node.runs(ctid, 'shift 4; echo "info $*"')
    found = node.ask(910, 952, probe=[952])
    assert (found["910"]["text"], found["952"]["text"]) == ("info 1 \n", "info 1 :probe\n")


def test_who_does_not_run_is_not_entered_and_who_is_not_here_is_no_answer(node):
    node.runs(910, "echo guest 1")
    node.stopped(953)
    assert states(node.ask(910, 953, 999)) == {910: "ok", 953: "stopped"}
    assert states(node.ask()) == {910: "ok"}


def test_long_answers_of_two_guests_do_not_mix(node):
    says = "i=0; while [ $i -lt 3000 ]; do echo hold $GUEST-$i; i=$((i + 1)); done"
    for ctid in (910, 952):
        node.runs(ctid, says)
    found = node.ask(910, 952)
    for ctid, one in found.items():
        assert one["text"] == "".join(f"hold {ctid}-{n}\n" for n in range(3000))


def test_however_many_guests_hang_each_has_its_own_time(node):
    for ctid in range(910, 918):
        node.runs(ctid, "sleep 60" if ctid % 2 else "echo guest 1")
    assert states(node.ask()) == {ctid: "hung" if ctid % 2 else "ok" for ctid in range(910, 918)}


def hangs_at_first(times=1):
    return f"""
        echo x >>"$FAKE/asked-$GUEST"
        [ "$(grep -c x "$FAKE/asked-$GUEST")" -gt {times} ] || sleep 60
        echo guest 1
    """


def asked(node, ctid):
    return len((node.fake / f"asked-{ctid}").read_text())


def test_one_that_gave_no_answer_in_time_is_asked_once_more(node):
    node.runs(910, hangs_at_first())
    node.runs(952, hangs_at_first(2))
    node.runs(953, 'echo x >>"$FAKE/asked-$GUEST"; echo guest 1')
    assert states(node.ask()) == {910: "ok", 952: "hung", 953: "ok"}
    assert [asked(node, ctid) // 2 for ctid in (910, 952, 953)] == [2, 2, 1]


def test_where_many_hang_none_of_them_costs_its_time_twice(node):
    for ctid in range(910, 915):
        node.runs(ctid, hangs_at_first())
    assert states(node.ask()) == dict.fromkeys(range(910, 915), "hung")
    assert {asked(node, ctid) // 2 for ctid in range(910, 915)} == {1}


def test_no_more_are_asked_at_once_than_the_node_has_processors_for(node):
    for ctid in range(910, 920):
        node.runs(
            ctid,
            """
            touch "$FAKE/now-$GUEST"
            ls "$FAKE" | grep -c ^now- >>"$FAKE/at-once"
            sleep 0.2
            rm "$FAKE/now-$GUEST"
            echo guest 1
            """,
        )
    assert {*states(node.ask()).values()} == {"ok"}
    most = max(map(int, (node.fake / "at-once").read_text().split()))
    assert 1 < most <= os.cpu_count() + 1


def test_a_daemon_json_that_is_no_utf_8_keeps_its_bytes_and_nothing_else_may_be_such(node):
    node.runs(910, r"printf 'guest 1\ndaemon-file 0 0 644\n{\377\n'")
    node.runs(952, r"printf 'guest 1\nos \377\n'")
    found = node.ask()
    assert found["910"]["text"].encode("utf-8", "surrogateescape").endswith(b"{\xff\n")
    assert found["952"]["state"] == "failed"
    assert found["952"]["error"] == "what its guest said of Docker is no UTF-8"


def test_why_one_failed_is_a_printable_line(node):
    node.runs(910, r"printf 'x\n\033[2J\033]0;gone\007 no\377' >&2; exit 9")
    (found,) = node.ask(910).values()
    assert found["error"] == r"\x1b[2J\x1b]0;gone\x07 no�"
    node.runs(910, "head -c 100000 /dev/zero >&2; exit 9")
    (found,) = node.ask(910).values()
    assert re.fullmatch(r"[ -~…]{1,200}", found["error"])


def test_guests_are_asked_while_the_node_looks_up_the_rest(node):
    os.mkfifo(node.fake / "meet")
    node.tool("systemctl", 'echo here >"$FAKE/meet"')
    node.runs(910, 'read -r LINE <"$FAKE/meet" && echo "guest 1 $LINE"')
    # in this order, too, of which nothing else would come than what is late
    asked = {"runs": {"unfinished": True}, "dockers": {"ctids": [910], "probe": []}}
    said = node.observe(**asked)
    assert list(said) == ["runs", "dockers"]
    assert said["dockers"]["910"]["text"] == "guest 1 here\n"
