"""Which containers a line may be about, by the profile that it names."""

from __future__ import annotations

import re
import time

from node import containers
from phoenix.apparmor.audit_line import whose
from phoenix.apparmor.observed import Label, own_ctid

# a namespace is that of one container, and so is the profile that Proxmox generates
_NAMESPACE = re.compile(r"(?:root//|:)lxc-([1-9][0-9]{2,8})_<-var-lib-lxc>(?=$|:|//|\")")
_GENERATED = re.compile(r"lxc-([1-9][0-9]{2,8})_</var/lib/lxc>")
_LABEL = re.compile(r' label="([^"]+)"')
_LXC_START = "/usr/bin/lxc-start"

#: For so many seconds the labels of all containers are taken for what they were; where nobody runs
#: under a profile, one may have been started since.
_FRESH, _UNKNOWN = 10, 1


class Sharing:
    """Who runs under which profile, looked up now and then."""

    def __init__(self) -> None:
        self._users: dict[str, list[int]] = {}
        self._looked = -float(_FRESH)

    def of(self, text: str) -> list[int]:
        """The containers that such a text may be about, none where nobody here runs like that and
        the profile is not called after one.

        What lxc-start was refused is about the one that it starts, if that shows.
        """
        profile = whose(text)
        label = _LABEL.search(text)
        named = _NAMESPACE.match(profile) or _GENERATED.fullmatch(profile)
        named = named or (_NAMESPACE.search(label[1]) if label else None)
        if profile == _LXC_START:
            # it is a process of the node: what it asks for is Proxmox's word
            named = _NAMESPACE.search(text) or _GENERATED.search(text)
        if named:
            return [int(named[1])]
        own = own_ctid(profile)
        return self._running(profile) or ([] if own is None else [own])

    def _running(self, profile: str) -> list[int]:
        passed = time.monotonic() - self._looked
        if passed >= _FRESH or (profile not in self._users and passed >= _UNKNOWN):
            self._users = _users()
            self._looked = time.monotonic()
        return self._users.get(profile, [])


def _users() -> dict[str, list[int]]:
    users: dict[str, list[int]] = {}
    for ctid in containers.ctids():
        pid = containers.init_pid(ctid)
        label = containers.label(pid) if pid is not None else None
        if label is not None:
            profile = Label.parse(label).profile.partition("//")[0]
            users.setdefault(profile, []).append(ctid)
    return users
