"""What works in a guest: read in a closed form, and compared with what worked before."""

import subprocess
from pathlib import Path

import pytest

from node.works import Works, begun_anew, missing, unasked

SCRIPT = Path(__file__).parents[2] / "templates/guest/works.sh"

BEFORE = """\
works 1
unit active running docker.service
unit active running nginx.service
unit active running by-hand.service
unit active exited apply-settings.service
unit failed failed sys-kernel-config.mount
unit inactive dead logrotate.service
boots docker.service
boots nginx.service
boots apply-settings.service
container running healthy always 2026-11-26T20:00:00.5Z /db
container running - unless-stopped 2026-11-26T20:00:01.5Z /app
container running - no 2026-11-26T20:00:02.5Z /by-hand
container exited - always 2026-11-26T19:00:00.5Z /broken
container running unhealthy always 2026-11-26T19:00:00.5Z /ill
end
"""


def works(text=BEFORE, *changes):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    found = Works.parse(text)
    assert found
    return found


def left(*changes, accepted=()):
    return [str(one) for one in missing(works(), works(BEFORE, *changes), accepted)]


def test_nothing_is_missing_where_all_is_as_it_was():
    assert left() == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("running healthy always", "restarting healthy always", "db is restarting, it was running"),
        ("running healthy always", "running starting always", "db is starting, it was healthy"),
        (
            "2026-11-26T20:00:01.5Z /app",
            "2026-11-26T20:00:01.5Z /app2",
            "app is not there any more",
        ),
    ],
)
def test_a_container_that_does_not_come_back_is_named_with_what_it_is(old, new, said):
    assert left((old, new)) == [f"container {said}"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "active running nginx",
            "activating auto-restart nginx",
            "nginx.service is activating (auto-restart), it was running",
        ),
        ("active running nginx", "failed failed nginx", "nginx.service has failed"),
        ("active exited apply", "failed failed apply", "apply-settings.service has failed"),
        ("inactive dead logrotate", "failed failed logrotate", "logrotate.service has failed"),
        (
            "unit active running nginx.service\n",
            "",
            "nginx.service is inactive (dead), it was running",
        ),
    ],
)
def test_a_unit_that_fails_or_is_down_is_named(old, new, said):
    assert left((old, new)) == [f"unit {said}"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("running - no", "exited - no"),
        ("active running by-hand", "inactive dead by-hand"),
        ("active exited apply", "inactive dead apply"),
        ("exited - always", "restarting - always"),
        ("running unhealthy always", "running starting always"),
    ],
    ids=["container-by-hand", "service-by-hand", "one-shot", "broken-before", "ill-before"],
)
def test_what_no_restart_brings_back_or_was_broken_before_is_not_missed(old, new):
    assert left((old, new)) == []


def test_the_owner_may_go_without():
    changes = (
        ("running healthy always", "exited healthy always"),
        ("active running nginx", "failed failed nginx"),
    )
    assert len(left(*changes)) == 2
    assert left(*changes, accepted=("db", "nginx")) == []
    assert left(*changes, accepted=("db", "nginx.service")) == []


def test_what_has_begun_is_waited_for_and_what_begins_again_and_again_is_not():
    said = BEFORE.replace("running healthy always", "running starting always")
    (one,) = missing(works(), works(said))
    assert one.begins
    (one,) = missing(works(), works(said.replace("starting", "unhealthy")))
    assert one.begins
    for sub, begins in (("start-pre", True), ("auto-restart", False)):
        said = BEFORE.replace("active running nginx", f"activating {sub} nginx")
        (one,) = missing(works(), works(said))
        assert one.begins is begins


PORTS = """\
port 80 nginx.service
port 8080 docker.service
port 6010 ssh.service
port 3000 by-hand.service
port 51234 nginx.service
port 443 nginx.service
"""


def without_ports(*ports, changes=(), accepted=()):
    before = BEFORE.replace("boots docker", f"unit active running ssh.service\n{PORTS}boots docker")
    before = before.replace("boots nginx", "boots ssh.service\nboots nginx")
    gone = tuple(f"port {port} " for port in ports)
    now = "".join(line for line in before.splitlines(True) if not line.startswith(gone))
    return [*missing(works(before), works(now, *changes), accepted)]


def test_a_port_that_no_longer_listens_is_named_and_waited_for():
    (one,) = without_ports("80")
    assert str(one) == "port 80 of nginx.service is closed, it was open"
    assert (one.begins, one.unit) == (True, "nginx.service")


def test_of_a_service_that_is_down_the_ports_are_not_told_as_well():
    changes = (("active running nginx", "failed failed nginx"),)
    assert [*map(str, without_ports("80", "443", changes=changes))] == [
        "unit nginx.service has failed"
    ]


@pytest.mark.parametrize(
    "port",
    ["8080", "6010", "3000", "51234"],
    ids=["of-a-container", "of-a-login", "by-hand", "any-port"],
)
def test_a_port_that_no_restart_opens_again_is_not_missed(port):
    assert without_ports(port) == []


@pytest.mark.parametrize("name", ["80", "nginx", "nginx.service"])
def test_the_owner_may_go_without_a_port_by_its_number_or_its_service(name):
    assert without_ports("80", accepted=(name,)) == []


def test_a_port_that_another_service_has_now_is_open():
    assert without_ports(changes=(("port 80 nginx", "port 80 caddy"),)) == []


def test_what_was_broken_before_is_told():
    assert works().down == (
        "container broken (exited)",
        "container ill (unhealthy)",
        "unit sys-kernel-config.mount (failed)",
    )


def test_one_that_was_made_anew_without_a_health_check_is_not_missed():
    assert left(("running healthy always", "running - always")) == []


def test_a_container_that_ends_and_begins_anew_is_named_unless_nobody_misses_it():
    later = works(
        BEFORE, ("20:00:01.5Z /app", "20:07:00.5Z /app"), ("20:00:02.5Z /by", "20:07:00.5Z /by")
    )
    found = [str(one) for one in begun_anew(works(), works(), later)]
    assert found == ["container app has ended and begun anew"]
    assert list(begun_anew(works(), works(), later, ("app",))) == []


def test_a_docker_that_cannot_be_asked_and_a_boot_that_goes_on_are_known():
    assert (works().silent, works().booting) == (frozenset(), False)
    for line, silent in (
        ("silent docker", "docker"),
        ("silent podman", "podman"),
        ("docker no", "docker"),
    ):
        found = works(BEFORE.replace("end\n", f"booting\n{line}\nend\n"))
        assert (found.silent, found.booting) == ({silent}, True)


PODMAN = """\
works 1
unit active exited podman-restart.service
boots podman-restart.service
podman running healthy always 1764230400 web
podman running - no 1764230401 by-quadlet
podman running - unless-stopped 1764230401 not-by-each-version
container running - always 2026-11-26T20:00:00.5Z /web
end
"""


def test_containers_of_podman_are_asked_for_where_something_starts_them_at_boot():
    gone = PODMAN.replace("podman running healthy always 1764230400 web\n", "")
    text = "container podman:web is not there any more"
    assert [*map(str, missing(works(PODMAN), works(gone)))] == [text]
    for accepted in ("web", "podman:web"):
        assert [*missing(works(PODMAN), works(gone), (accepted,))] == []
    assert unasked(works(PODMAN), works("works 1\nsilent podman\nend\n")) == {"podman"}
    assert unasked(works(BEFORE), works("works 1\nsilent podman\nend\n")) == frozenset()
    nobody = PODMAN.replace("boots podman-restart.service\n", "")
    assert [*missing(works(nobody), works(gone))] == []


def test_however_much_a_guest_says_so_much_is_taken():
    many = "".join(f"unit failed failed x{number}.service\n" for number in range(50_000))
    assert len(works(f"works 1\n{many}end\n").units) < 20_000


@pytest.mark.parametrize(
    "said", ["", "works 1\n", BEFORE.replace("end\n", ""), BEFORE.replace("works 1", "works 2")]
)
def test_an_answer_that_is_not_whole_is_none(said):
    assert Works.parse(said) is None


@pytest.mark.parametrize(
    "line",
    [
        "container running - always 2026-11-26T20:00:00Z /$(reboot)",
        "container running - always 2026-11-26T20:00:00Z /-rf",
        "container running - always 2026-11-26T20:00:00Z /a b",
        "container running - always x\x1b[2J /a",
        "unit active running a b.service",
        "unit active running \x1b[31m.service",
        "boots ../../etc",
        "port 80 ../../etc",
        "port -1 a.service",
        "port 0800000 a.service",
        "something else",
    ],
)
def test_a_record_in_no_form_of_ours_is_none(line):
    assert works(f"works 1\n{line}\nend\n") == Works()


SYSTEMCTL = """
case "$*" in
'is-system-running --wait') echo waited >>"$FAKE/calls" ;;
is-system-running) echo starting ;;
list-units*) printf '%s\\n' 'nginx.service loaded active running A web server' \
    'sys-kernel-config.mount loaded failed failed Kernel' 'a.socket not-found inactive dead a' ;;
list-unit-files*) echo 'nginx.service enabled enabled' ;;
esac
"""
DOCKER = """
case "$*" in
'ps -aq --no-trunc') echo 1111; echo 2222 ;;
inspect*1111*2222)
    echo 'container running healthy always 2026-11-26T20:00:00Z /db'
    echo 'container exited - always 2026-11-26T20:00:00Z /app'
    echo 'error /app'
    ;;
esac
"""


def test_the_script_says_it_in_these_records(tmp_path):
    for name, text in {"systemctl": SYSTEMCTL, "docker": DOCKER}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)
    # what is looked for there is in every guest with systemd
    script = SCRIPT.read_text().replace("/run/systemd/system", "/")
    done = subprocess.run(
        ["sh", "-c", script, "works", "5"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "FAKE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    found = works(done.stdout)
    assert found.services == {"nginx.service"}
    assert found.failed == {"sys-kernel-config.mount"}
    assert found.containers["db"].health == "healthy"
    assert found.errors == {"app"}
    assert (found.booting, found.silent) == (True, frozenset())
    assert (tmp_path / "calls").read_text() == "waited\n"


#: It knows two of the containers and has no list of them; `$FAKE/down` for a daemon that is down.
BY_NAME = """
echo "$*" >>"$FAKE/asked"
[ ! -e "$FAKE/down" ] || exit 1
case "$*" in
'ps -q') exit 0 ;;
ps*) exit 9 ;;
inspect*gone*) echo 'container running healthy always 2026-11-26T20:00:00Z /db'; exit $GONE ;;
inspect*' db app') echo 'container running healthy always 2026-11-26T20:00:00Z /db'
    echo 'container exited - always 2026-11-26T20:00:00Z /app' ;;
esac
"""


@pytest.fixture
def by_name(tmp_path):
    """Ask for containers by their names."""

    def ask(*names, down=False, gone=1):
        for engine in ("docker", "podman"):
            (tmp_path / engine).write_text(f"#!/bin/sh\n{BY_NAME}")
            (tmp_path / engine).chmod(0o755)
        if down:
            (tmp_path / "down").touch()
        script = SCRIPT.read_text().replace("/var/lib/containers/storage", str(tmp_path))
        done = subprocess.run(
            ["sh", "-c", script, "works", "0", ":containers", *names],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "FAKE": str(tmp_path), "GONE": str(gone)},
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        asked = (tmp_path / "asked").read_text().splitlines()
        return works(done.stdout), [line.split()[0] for line in asked if line.split()]

    return ask


def test_containers_that_are_named_cost_one_question_and_no_list(by_name):
    found, asked = by_name("db", "app")
    assert ([*found.containers], found.silent) == (["db", "app"], frozenset())
    assert asked.count("inspect") == 1
    assert "ps" not in asked


# podman ends with 125 for one that it has not
@pytest.mark.parametrize("gone", [1, 125])
def test_one_that_is_not_there_any_more_is_no_silent_engine(by_name, gone):
    found, _ = by_name("db", "gone", gone=gone)
    assert ([*found.containers], found.silent) == (["db"], frozenset())


@pytest.mark.parametrize("given_up", [124, 137, 143])
def test_one_that_hangs_is_silent_though_its_list_would_come(by_name, given_up):
    # a container that is locked holds up an inspect, and no ps
    found, _ = by_name("db", "gone", gone=given_up)
    assert found.silent == {"docker"}


def test_an_engine_that_is_down_is_silent_whatever_is_asked_for(by_name):
    found, _ = by_name("db", "app", down=True)
    assert (found.containers, found.silent) == ({}, {"docker"})


def test_each_engine_is_asked_for_its_own(by_name):
    found, asked = by_name("podman:db", "podman:app")
    assert asked.count("inspect") == 1
    assert found.silent == frozenset()


def test_a_docker_that_is_podmans_script_is_asked_once_as_podman(tmp_path):
    podman = """
    case "$*" in
    'ps -aq --no-trunc') echo 1111 ;;
    inspect*1111)
        echo 'podman running healthy always 1764230400 web'
        echo 'error podman:web'
        printf 'podman created '
        exit 125 ;;
    esac
    """
    for name, text in {"podman": podman, "docker": 'exec /usr/bin/podman "$@"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)
    script = SCRIPT.read_text().replace("/var/lib/containers/storage", str(tmp_path))
    done = subprocess.run(
        ["sh", "-c", script, "works", "0"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    found = works(done.stdout)
    assert ([*found.containers], found.silent) == (["podman:web"], {"podman"})
    assert found.errors == {"podman:web"}


#: /proc/net/tcp: 0A listens, 01 is a connection; the local address is in hexadecimal digits.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1
   2: 0100007F:0016 0100007F:BEEF 01 00000000:00000000 00:00000000 00000000     0        0 333 1
   3: 00000000:0801 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1
"""
TCP6 = TCP.replace("00000000:0050", f"{'0' * 32}:01BB").replace(" 111 ", " 555 ")
PROCESSES = {
    "10": ("0::/system.slice/nginx.service", (111, 333, 555)),
    "20": ("1:name=systemd:/openrc.redis\n0::/openrc.redis", (222,)),
    "30": ("0::/system.slice/docker-1234.scope", (444,)),
}


def test_the_script_names_each_port_with_the_service_that_listens_on_it(tmp_path):
    proc = tmp_path / "proc"
    (proc / "net").mkdir(parents=True)
    (proc / "net/tcp").write_text(TCP)
    (proc / "net/tcp6").write_text(TCP6)
    for pid, (cgroup, sockets) in PROCESSES.items():
        (proc / pid / "fd").mkdir(parents=True)
        (proc / pid / "cgroup").write_text(f"{cgroup}\n")
        for number, socket in enumerate(sockets):
            (proc / pid / "fd" / str(number)).symlink_to(f"socket:[{socket}]")
    script = SCRIPT.read_text().replace("/proc", str(proc))
    done = subprocess.run(
        ["sh", "-c", script, "works", "0"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert works(done.stdout).ports == {80: "nginx.service", 443: "nginx.service", 8080: "redis"}


OUTSIDE = """\
works 1
began 4711
unit active running init
boots init
port 8080 init
end
"""


def test_a_first_process_that_is_another_by_then_has_not_stayed_up():
    then, now = works(OUTSIDE), works(OUTSIDE.replace("4711", "4812"))
    assert [str(one) for one in begun_anew(then, then, now)] == [
        "its init has ended and begun anew"
    ]
    assert list(begun_anew(then, then, now, ("init",))) == []
    # from before the restart to after it, it always is
    assert list(missing(then, now)) == []
    assert list(begun_anew(then, now, now)) == []


def test_a_port_of_a_program_is_missed_and_of_a_later_moment_only():
    (one,) = missing(works(OUTSIDE), works(OUTSIDE.replace("port 8080 init\n", "")))
    assert (str(one), one.begins) == ("port 8080 of init is closed, it was open", True)
    assert list(missing(works(OUTSIDE.replace("port 8080 init\n", "")), works(OUTSIDE))) == []
