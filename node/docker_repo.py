"""Docker's own package repository in a guest that lacks it.

Its key stands in the fleet file, and beside it the fingerprint: gpg says whether they belong
together, that of the node or, where it has none, the guest's. Without a gpg nothing is written.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from shutil import rmtree
from typing import Any

from node import bounded, guest
from node.bounded import MISSING, Ended
from node.files import raw

#: What it installs (Docker's manual, "Install Docker Engine").
PACKAGES = (
    *("docker-ce", "docker-ce-cli", "containerd.io"),
    *("docker-buildx-plugin", "docker-compose-plugin"),
)

#: Where its files go, by the guest's package manager: the key, and what names it. `forget` of
#: templates/guest/install.sh removes them.
_FILES = {
    "apt": (
        "/etc/apt/keyrings/phoenix-docker.asc",
        "/etc/apt/sources.list.d/phoenix-docker.sources",
    ),
    "dnf": ("/etc/pki/rpm-gpg/RPM-GPG-KEY-phoenix-docker", "/etc/yum.repos.d/phoenix-docker.repo"),
}

_ADDRESS = re.compile(r"https?://[!-~]{1,1000}")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}")
_CODENAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
#: How a shell ends that finds no such program.
_MISSING_CODE = 127
_LONGEST_KEY = 128 * 1024


class RepoError(Exception):
    """Why the guest does not get the repository, in a printable line."""


@dataclass(frozen=True)
class Repo:
    """A repository as the request names it (`phoenix.docker.install.Repository`)."""

    url: str
    key: str
    fingerprint: str

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Repo:
        """Read it. Raises ValueError for what is none."""
        url, key, fingerprint = (said.get(name) for name in ("url", "key", "fingerprint"))
        if not isinstance(url, str) or not _ADDRESS.fullmatch(url):
            raise ValueError("its address is none")
        if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY or not key.isascii():
            raise ValueError("its key is none")
        if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
            raise ValueError("its fingerprint is none")
        return cls(url, key, fingerprint)

    def put(self, ctid: int, manager: str) -> None:
        """Write it into the guest, once its key is the one that is named. Raises RepoError."""
        if manager not in _FILES:
            raise RepoError(f"Docker has no packages for {manager}: docker_source distro has")
        self._check_key(ctid)
        key, sources = _FILES[manager]
        text = self._deb822(ctid, key) if manager == "apt" else self._ini(key)
        for path, data in ((key, self.key), (sources, text)):
            ended = _in_guest(ctid, "put", path, data=raw(data))
            if not ended.ok:
                raise RepoError(f"{path} cannot be written in the guest: {guest.last_line(ended)}")

    def _check_key(self, ctid: int) -> None:
        ended, whose = _by_node(self.key), "this node's gpg"
        if ended.why == MISSING or ended.code == _MISSING_CODE:
            ended, whose = _in_guest(ctid, "fingerprints", data=raw(self.key)), "the guest's gpg"
            if ended.code == _MISSING_CODE:
                raise RepoError(
                    "neither this node nor the guest has gpg to check the fingerprint of "
                    "docker_repo: apt install gpg on the node"
                )
        found = _fingerprints(ended.out.decode("ascii", "replace"))
        if not ended.ok or not found:
            why = guest.last_line(ended)
            raise RepoError(f"{whose} finds no key in docker_repo: {why}")
        if found != [self.fingerprint]:
            raise RepoError(
                f"the key of docker_repo has the fingerprint {', '.join(found[:3])}, not "
                f"{self.fingerprint}: see whose it is"
            )

    def _deb822(self, ctid: int, key: str) -> str:
        """Sources as apt reads them (sources.list(5), DEB822-STYLE FORMAT). Raises RepoError."""
        ended = _in_guest(ctid, "codename")
        release = (ended.text or "").strip()
        if not ended.ok or not _CODENAME.fullmatch(release):
            raise RepoError("the guest's /etc/os-release has no codename of its release")
        lines = ("Types: deb", f"URIs: {self.url}", f"Suites: {release}", "Components: stable")
        return "\n".join((*lines, f"Signed-By: {key}", ""))

    def _ini(self, key: str) -> str:
        """A repository as dnf reads it (dnf.conf(5))."""
        lines = (
            "[phoenix-docker]",
            "name=Docker",
            f"baseurl={self.url}/$releasever/$basearch/stable",
            "enabled=1",
            "gpgcheck=1",
            f"gpgkey=file://{key}",
        )
        return "\n".join((*lines, ""))


def _by_node(key: str) -> Ended:
    """What the node's gpg says of a key, in a home of its own."""
    home = tempfile.mkdtemp(prefix="phoenix-harden-gpg-")
    try:
        call = ("gpg", "--batch", "--no-options", "--homedir", home, "--with-colons", "--show-keys")
        return bounded.run(call, raw(key), seconds=60)
    finally:
        rmtree(home, ignore_errors=True)


def _fingerprints(listing: str) -> list[str]:
    """Those of the primary keys (GnuPG's doc/DETAILS, format of the colon listings)."""
    found, is_primary = [], False
    for line in listing.split("\n"):
        fields = line.split(":")
        if fields[0] == "fpr" and is_primary:
            found += [fields[9]] if len(fields) > 9 and _FINGERPRINT.fullmatch(fields[9]) else ["?"]
        if fields[0] in ("pub", "sec", "sub", "ssb", "fpr"):
            is_primary = fields[0] in ("pub", "sec")
    return found


def _in_guest(ctid: int, *words: str, data: bytes = b"") -> Ended:
    call = ["sh", "-c", guest.script("install"), "install", *words]
    return guest.attach(ctid, call, data, seconds=60)
