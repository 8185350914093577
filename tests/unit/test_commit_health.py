"""commit: the owner's own check passes afterwards, or the old state is back."""

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from commit_node import NEW, OLD, Node
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from phoenix.pve.health import HealthCheck

PASSED = "CT 910: ok the owner's health check passes"
FAILED = "CT 910: FAILED the owner's health check passes"
UNDER_IT = 'grep -q lxc- "$PHOENIX_ROOT/etc/pve/lxc/910.conf"'
ODD = "my-check 'a' \"$HOME\" $(reboot) `x`; ../* &"


@pytest.fixture
def node(tmp_path, monkeypatch):
    node = Node(tmp_path)
    for when in ("before", "after"):
        (node.fake / f"works-{when}").write_text("works 1\nend\n")
    monkeypatch.setenv("PHOENIX_OWNERS_PATIENCE", "0")
    monkeypatch.setenv("PHOENIX_OWNERS_LATER", "0")
    has(node, ODD)
    return node


def has(node, command="", **values):
    argv = ("sh", "-c", command) if command else ()
    values = {"retries": 0, "interval": 0, "timeout": 20, **values}
    node.stage(health=HealthCheck(argv, **values).render())


def asked(node):
    """How often the guest was asked, as its exec is given it: text and nothing else."""
    return node.calls.count(f"guest sh -c {ODD}")


def test_a_check_that_passes_before_and_after_is_done(node):
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (0, NEW), done.stdout
    assert PASSED in done.stdout
    assert asked(node) == 2


def test_it_is_asked_when_what_its_owner_runs_works_again(node):
    said = node.commit().stdout
    assert said.index("what its owner runs works as before") < said.index(PASSED)


def test_a_command_that_is_a_list_reaches_the_guest_as_one(node):
    node.stage(health=HealthCheck(("my-check", "a b", "")).render())
    assert node.commit().returncode == 0
    assert node.calls.count("guest my-check a b ") == 2


def test_one_that_the_profile_breaks_brings_the_old_state_back_and_is_named(node):
    node.guest_says("my-check", f"! {UNDER_IT} || {{ printf 'x\\n\\033[2Jno\\n' >&2; exit 7; }}")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert node.events == ["intent", "started", "back", "restored"]
    assert FAILED in done.stdout
    assert "CT 910: health_check: \\x1b[2Jno\n" in done.stdout
    assert "CT 910: to go on without: --data accept=health_check" in done.stdout
    assert "not back with the old conf" not in done.stdout


def test_one_that_says_nothing_is_told_by_its_exit_code(node):
    node.guest_says("my-check", f"! {UNDER_IT} || exit 22")
    assert "CT 910: health_check: exit 22\n" in node.commit().stdout


def test_it_is_tried_again_as_often_as_the_file_says(node):
    has(node, ODD, retries=3)
    third = 'echo >>"$FAKE/tries"; [ "$(wc -l <"$FAKE/tries")" -ge 3 ]'
    node.guest_says("my-check", f"! {UNDER_IT} || {{ {third}; }}")
    done = node.commit()
    assert done.returncode == 0
    assert asked(node) == 1 + 3
    has(node, ODD, retries=1)
    node.conf.write_text(OLD)
    (node.fake / "tries").unlink()
    assert node.commit().returncode == 1


def test_one_that_failed_before_is_listed_and_stops_nothing(node):
    node.guest_says("my-check", "echo 'refused'; exit 1")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (0, NEW)
    assert "CT 910: not working before, so not checked: its health_check (refused)" in done.stdout
    assert "the owner's health check" not in done.stdout
    assert asked(node) == 1


def test_its_owner_may_go_without_it(node):
    node.stage(accept="db\nhealth_check")
    node.guest_says("my-check", f"! {UNDER_IT}")
    done = node.commit()
    assert done.returncode == 0
    assert "CT 910: its health_check is not asked (accept=health_check)" in done.stdout
    assert asked(node) == 0


def test_one_that_fails_with_the_old_conf_as_well_is_said_and_is_no_failure_of_that(node):
    once = '[ ! -e "$FAKE/once" ] || exit 4; touch "$FAKE/once"'
    node.guest_says("my-check", once)
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    said = "CT 910: not back with the old conf either: its health_check (exit 4)"
    assert said in done.stdout
    assert done.stdout.endswith("restored: the old conf is back and the container runs with it\n")


def test_where_nobody_has_waited_for_the_end_of_its_boot_it_is_waited_for_here(node):
    (node.fake / "works-before").write_text("nothing\n")
    done = node.commit()
    assert PASSED in done.stdout, done.stdout
    waited = node.calls.index(" works 120 :no-containers")
    assert node.calls.index(f"guest sh -c {ODD}") < waited
    assert f"guest sh -c {ODD}" in node.calls[waited:]


def test_where_nothing_restarts_it_is_not_asked(node):
    (node.run / "910/restart").unlink()
    assert node.commit().returncode == 0
    assert asked(node) == 0


def test_a_container_that_is_stopped_is_not_asked(node):
    node.state = "stopped"
    assert node.commit().returncode == 0
    assert asked(node) == 0


def test_whoever_takes_up_a_commit_that_was_cut_short_asks_it(node):
    node.was_cut_short("intent", "started", conf=NEW)
    node.guest_says("my-check", f"! {UNDER_IT}")
    done = node.recover()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert FAILED in done.stdout


def test_whoever_takes_up_a_commit_knows_that_it_failed_before(node):
    node.was_cut_short("intent", "started", conf=NEW)
    node.stage(unhealthy="")
    node.guest_says("my-check", "exit 1")
    done = node.recover()
    assert (done.returncode, node.conf.read_text()) == (0, NEW)


def test_what_failed_at_an_earlier_commit_and_passes_now_is_asked(node):
    node.stage(unhealthy="")
    node.guest_says("my-check", f"! {UNDER_IT}")
    assert node.commit().returncode == 1


def test_nothing_is_run_in_a_container_that_is_one_program(node):
    (node.run / "910/docker").unlink()
    node.has("/var/lib/lxc/910/config", "lxc.init.cmd = /app\n")
    node.has("/proc/4711/stat", "4711 (app) S 1 4711 4711 0 -1" + " 0" * 40 + "\n")
    done = node.commit()
    assert done.returncode == 0, done.stdout
    assert "one program: nothing is run in it, so its health_check is not asked" in done.stdout
    assert asked(node) == 0
    assert "the owner's health check" not in done.stdout


@pytest.mark.parametrize("does", ["yes", "sleep 100", "sleep 100 & echo still; exit 1", "kill $$"])
def test_a_guest_that_floods_hangs_or_clings_fails_it_in_time(node, does):
    has(node, ODD, timeout=1)
    node.guest_says("my-check", f"! {UNDER_IT} || {{ {does}; }}")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert FAILED in done.stdout
    assert len(done.stdout) < 10_000


def test_a_staged_check_of_another_form_changes_nothing(node):
    node.stage(health="{}")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (2, OLD)
    assert "refused: what is staged is not whole: health: its members are others" in done.stdout
    assert "Traceback" not in done.stderr


# --- a URL --------------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"]))
        code = self.server.codes.pop(0) if self.server.codes else 200
        self.send_response(code, "\x1b[2J")
        self.send_header("Location", "http://192.0.2.1/elsewhere")
        self.end_headers()
        # whoever reads only the status need not wait for it
        with contextlib.suppress(OSError):
            self.wfile.write(b"x" * 10_000_000)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.asked, server.codes = [], []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()


@pytest.fixture
def in_its_network(node):
    """A node on which a program that enters the network of the container runs where it is."""
    node.has("/proc/1/ns/net", "")
    node.tool(
        "nsenter",
        """
        case "$*" in *http.client*) ;; *) echo phoenix-harden; exit ;; esac
        echo "nsenter ${1%%=*}" >>"$FAKE/calls"
        while [ "$1" != -- ]; do shift; done
        shift
        exec "$@"
        """,
    )
    return node


def url(server, path="/health?x=1", host="localhost"):
    return f"http://{host}:{server.server_port}{path}"


@pytest.mark.parametrize("code", [200, 204, 302, 399])
def test_a_url_that_answers_well_passes_and_no_redirect_is_followed(in_its_network, server, code):
    has(in_its_network, url=url(server))
    server.codes = [code, code]
    done = in_its_network.commit()
    assert (done.returncode, in_its_network.conf.read_text()) == (0, NEW), done.stdout
    assert PASSED in done.stdout
    assert server.asked == [("/health?x=1", f"localhost:{server.server_port}")] * 2
    assert in_its_network.calls.count("nsenter --net") == 2
    assert not [call for call in in_its_network.calls if "health" in call]


@pytest.mark.parametrize("code", [400, 404, 503])
def test_a_url_that_answers_ill_brings_the_old_state_back(in_its_network, server, code):
    has(in_its_network, url=url(server, host="127.0.0.1"))
    server.codes = [200, code]
    done = in_its_network.commit()
    assert (done.returncode, in_its_network.conf.read_text()) == (1, OLD)
    assert f"CT 910: health_check: it answers {code}\n" in done.stdout


def test_a_url_at_which_nobody_listens_is_told_so(in_its_network):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    has(in_its_network, url=f"http://localhost:{port}")
    done = in_its_network.commit()
    assert done.returncode == 0
    assert "so not checked: its health_check ([Errno 111] Connection refused)" in done.stdout


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 999\r\n\r\n",
        b"HTTP/1.1 \x1b[2J\r\n\r\n",
        b"CT 910: done\nCT 910: done\n" * 10_000,
        b"HTTP/1.1 200" + b"0" * 100_000,
        b"",
    ],
)
def test_who_answers_with_anything_else_has_said_nothing(in_its_network, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answers():
            with contextlib.suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    with line, contextlib.suppress(OSError):
                        line.recv(4096)
                        line.sendall(answer)

        threading.Thread(target=answers, daemon=True).start()
        has(in_its_network, url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        done = in_its_network.commit()
    assert done.returncode == 0
    assert "not working before, so not checked: its health_check (" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()
    assert [line for line in done.stdout.splitlines() if line == "CT 910: done"] == ["CT 910: done"]
    assert len(done.stdout) < 10_000


def test_who_never_answers_is_given_up(in_its_network):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        has(in_its_network, url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=1)
        done = in_its_network.commit()
    assert done.returncode == 0
    assert "so not checked: its health_check (" in done.stdout


@pytest.fixture
def own_certificate(tmp_path):
    """Of nobody's authority, as most services in a container have it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere.example.org")])
    begins = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "own.pem"
    file.write_bytes(private + certificate.public_bytes(pem))
    return file


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_is_not_checked(in_its_network, server, own_certificate, host):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    has(in_its_network, url=url(server, host=host).replace("http:", "https:"))
    done = in_its_network.commit()
    assert PASSED in done.stdout, done.stdout


def test_the_services_of_the_node_itself_are_not_asked(in_its_network, server):
    inner = in_its_network.root / "proc/4711/ns/net"
    inner.unlink()
    inner.hardlink_to(in_its_network.root / "proc/1/ns/net")
    has(in_its_network, url=url(server))
    done = in_its_network.commit()
    assert done.returncode == 0
    assert "its health_check (it has no network of its own, but the node's)" in done.stdout
    assert server.asked == []


def test_a_url_is_asked_of_one_program_as_well(in_its_network, server):
    node = in_its_network
    (node.run / "910/docker").unlink()
    node.has("/var/lib/lxc/910/config", "lxc.init.cmd = /app\n")
    node.has("/proc/4711/stat", "4711 (app) S 1 4711 4711 0 -1" + " 0" * 40 + "\n")
    has(node, url=url(server))
    done = node.commit()
    assert PASSED in done.stdout, done.stdout
    assert not [call for call in node.calls if call.startswith("guest ")]
