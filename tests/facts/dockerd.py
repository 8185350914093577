"""A dockerd of a guest: what it answers on its socket is up to the test."""

import json
import socketserver
import threading
from contextlib import contextmanager

#: How the real one calls itself (moby, daemon/server/middleware/version.go).
DOCKER = "Docker/26.1.5 (linux)"


def answer(body, server=DOCKER, status="200 OK"):
    """An answer as Go writes it to one who speaks HTTP/1.0."""
    text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":")) + "\n"
    head = f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\nServer: {server}\r\n\r\n"
    return head.encode() + text.encode()


GONE = answer({"message": "No such container"}, status="404 Not Found")


def container(name, **more):
    """A Docker container as `/containers/ID/json` has it; `more`: parts of it that differ."""
    return {
        "Id": "0" * 64,
        "State": {"Status": "running", "Running": True},
        "Image": "sha256:1",
        "Name": f"/{name}",
        "HostConfig": {"RestartPolicy": {"Name": "always"}, "SecurityOpt": None},
        "Mounts": [],
        "Config": {"Hostname": "x", "Image": "nginx:1.29", "Labels": {}},
        **more,
    }


@contextmanager
def dockerd(path, *containers, server=DOCKER, says=None):
    """One that listens at this path; gives what it was asked.

    `containers`: what it answers of each, bytes for an answer as it is; `says`: called with the
    connection instead of any answer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{number:064x}" for number in range(len(containers))]
    paths = {
        "/info": {"Containers": len(ids), "Driver": "overlay2", "ServerVersion": "26.1.5"},
        "/containers/json?all=1": [{"Id": one} for one in ids],
        **{f"/containers/{one}/json": has for one, has in zip(ids, containers, strict=True)},
    }
    asked = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            what = self.rfile.readline().decode().split()[1]
            asked.append(what)
            if says:
                says(self.request)
            else:
                found = paths.get(what, GONE)
                self.wfile.write(found if isinstance(found, bytes) else answer(found, server))

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_):
            """Nobody listens any more."""

    with Server(str(path), Handler) as listens:
        threading.Thread(target=listens.serve_forever, args=(0.05,), daemon=True).start()
        yield asked
        listens.shutdown()
