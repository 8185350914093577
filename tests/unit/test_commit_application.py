"""commit: a container that is one program is proven from the node, and nothing in it is asked."""

import pytest
from commit_node import FAKES, NEW, OLD, STARTS, Node

#: proc_pid_net(5): 8080 and 53 listen, 9090 is a connection, 40000 a port that the kernel gave.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 101000        0 31001 1
   1: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000 101000        0 31002 1
   2: 00000000:9C40 00000000:0000 0A 00000000:00000000 00:00000000 00000000 101000        0 31003 1
   3: A10A0A0A:2382 010A0A0A:D2A4 01 00000000:00000000 00:00000000 00000000 101000        0 31004 1
"""
CLOSED = TCP.replace(":1F90 00000000:0000 0A", ":1F90 00000000:0000 01")
STAT = "4711 (app x) S 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {} 1 1 1\n"


@pytest.fixture
def node(tmp_path, monkeypatch):
    node = Node(tmp_path)
    monkeypatch.setenv("PHOENIX_OWNERS_PATIENCE", "0")
    monkeypatch.setenv("PHOENIX_OWNERS_LATER", "0")
    monkeypatch.setenv("PHOENIX_OWNERS_MOST", "0")
    (node.run / "910/docker").unlink()
    node.has("/var/lib/lxc/910/config", "lxc.init.cmd = /app --port 8080\n")
    node.has("/proc/4711/stat", STAT.format(777))
    node.has("/proc/4711/net/tcp", TCP)
    in_network(node, 4711, "net:[4026532000]")
    in_network(node, 1, "net:[4026531840]")
    return node


def in_network(node, pid, name):
    link = node.root / f"proc/{pid}/ns/net"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(name)


def at_start_with_the_new_conf(node, does):
    """What happens when it is started under the profile."""
    grep = 'grep -q lxc-docker "$PHOENIX_ROOT/etc/pve/lxc/910.conf"'
    first = STARTS
    assert FAKES["pct"].count(first) == 1
    node.tool("pct", FAKES["pct"].replace(first, f"! {grep} || {{ {does}; }}\n            {first}"))


def listens(text):
    return f"""printf '%s' '{text}' >"$PHOENIX_ROOT/proc/4711/net/tcp\""""


def guest_calls(node):
    return [call for call in node.calls if call.startswith("guest ")]


def test_it_is_proven_by_its_label_that_it_stays_up_and_its_ports(node):
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (0, NEW), done.stdout
    assert node.events == ["intent", "started", "done"]
    said = done.stdout
    assert "one program: nothing in it is asked; proven from the node" in said
    assert "its open ports (53, 8080, 40000)" in said
    assert "CT 910: ok PID 1 runs as lxc-docker-nested (enforce)" in said
    assert "CT 910: ok what its owner runs works as before" in said


def test_nothing_is_ever_run_in_it(node):
    node.commit()
    assert guest_calls(node) == []


def test_a_port_that_stays_closed_brings_the_old_state_back(node):
    at_start_with_the_new_conf(node, listens(CLOSED))
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert "CT 910: port 8080 of init is closed, it was open" in done.stdout
    assert "--data accept=8080" in done.stdout
    assert guest_calls(node) == []


def test_its_owner_may_go_without_a_port(node):
    at_start_with_the_new_conf(node, listens(CLOSED))
    node.stage(accept="8080")
    assert node.commit().returncode == 0


def test_a_port_that_the_kernel_chose_is_not_asked_for(node):
    other = TCP.replace(":9C40 ", ":9C41 ")
    at_start_with_the_new_conf(node, listens(other))
    assert node.commit().returncode == 0


def test_a_program_that_ends_after_its_start_brings_the_old_state_back(node):
    at_start_with_the_new_conf(node, 'rm "$PHOENIX_ROOT/proc/4711/stat"')
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert "what works in it cannot be told any more: it does not run" in done.stdout


def test_whoever_shares_the_network_of_the_node_has_no_ports_of_its_own(node):
    in_network(node, 4711, "net:[4026531840]")
    done = node.commit()
    assert done.returncode == 0
    assert "its open ports (none)" in done.stdout


def test_without_a_shell_it_is_proven_in_the_same_way(node):
    node.has("/var/lib/lxc/910/config", "lxc.uts.name = x\n")
    node.guest_says("works 1", "exit 127")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (0, NEW)
    assert "without a shell: nothing in it is asked" in done.stdout
    at_start_with_the_new_conf(node, listens(CLOSED))
    node.conf.write_text(OLD)
    assert node.commit().returncode == 1


def test_a_wild_list_of_sockets_is_no_port_and_no_traceback(node):
    node.has("/proc/4711/net/tcp", "\0\xff 0: :1F90 0A\n0: zz:1F90 0:0 0A x\n" * 3)
    done = node.commit()
    assert done.returncode == 0
    assert "its open ports (none)" in done.stdout
    assert "Traceback" not in done.stderr


def test_one_that_has_a_shell_before_and_none_afterwards_has_its_services_missed(node):
    node.has("/var/lib/lxc/910/config", "lxc.uts.name = x\n")
    works = "works 1\nunit active running nginx.service\nboots nginx.service\nend\n"
    (node.fake / "works-before").write_text(works)
    (node.fake / "works-after").write_text(works)
    grep = 'grep -q lxc-docker "$PHOENIX_ROOT/etc/pve/lxc/910.conf"'
    node.guest_says("works 1", f'{grep} && exit 127; cat "$FAKE/works-before"')
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert "CT 910: unit nginx.service is inactive (dead), it was running" in done.stdout
