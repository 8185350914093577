"""The single values of a fleet file that only a container which is to be made needs.

As in `phoenix.fleet.values`: each function gives the clean value or raises PydanticCustomError
that says what to write instead. What passes is one word without a comma, an equals sign or a blank
where it becomes a part of a property string, and never begins with a hyphen: none of it is ever
an option of `pct`, or more than the value that it is.

The forms are those of pve-common JSONSchema.pm and pve-container LXC/Config.pm.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, NetmaskValueError, ip_address

from phoenix.fleet.values import one_line, path, wrong
from phoenix.pve.raw_keys import RawKey

STORAGE = re.compile(r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]", re.ASCII)
"""Name of a storage of Proxmox (pve-storage-id)."""
TEMPLATE = re.compile(
    rf"{STORAGE.pattern}:vztmpl/[A-Za-z0-9][A-Za-z0-9_.+~-]*\.(tar(\.(gz|xz|zst|bz2))?|tgz)",
    re.ASCII,
)
"""A storage's template, as `pveam list` names it."""
_ARCHIVE = re.compile(r".+\.(tar(\.(gz|xz|zst|bz2))?|tgz)")
MAC = re.compile(r"[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}", re.ASCII)
"""A network card's own address, no group's (mac-addr)."""
INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", re.ASCII)
"""Name of a network interface; the kernel takes 15 characters (IFNAMSIZ)."""
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOSTNAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
"""A host's name (dns-name)."""
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]*", re.ASCII)
"""A tag of a guest (pve-tag)."""
SNAPSHOT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}", re.ASCII)
"""Name of a snapshot (pve-configid), of at most 40 characters."""
ID_MAP = re.compile(r"[ug] [0-9]{1,10} [0-9]{1,10} [1-9][0-9]{0,9}", re.ASCII)
"""A map of ids: u or g, first inside, first on the node, how many (lxc.container.conf(5))."""

#: Names that stand for something else where Proxmox expects a snapshot's.
_NO_SNAPSHOT = ("current", "pending", "vzdump")
_LONGEST_HOSTNAME = 253
_SEPARATORS = re.compile(r"[\s,;]+")


def template(text: str) -> str:
    """Check `template`: the path of an archive on the node, or a storage's."""
    right = (
        "the path of a template is expected, or a storage's, as in "
        "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst (pveam list local)"
    )
    if text.startswith("/"):
        plain = path(text)
        if not _ARCHIVE.fullmatch(plain):
            raise wrong("a template is an archive: .tar.zst, .tar.xz or .tar.gz")
        return plain
    if not TEMPLATE.fullmatch(one_line(text)):
        raise wrong(right)
    return text


def storage(text: str) -> str:
    """Check the name of a storage."""
    if not STORAGE.fullmatch(text):
        raise wrong("a storage's name is expected, as pvesm status lists it")
    return text


def interface(text: str) -> str:
    """Check the name of a network interface, in the container or a bridge of the node."""
    if not INTERFACE.fullmatch(text):
        raise wrong("an interface's name is expected, as in eth0 or vmbr0: at most 15 characters")
    return text


def mac(text: str) -> str:
    """Check `mac_address`; it is in capitals then."""
    if not MAC.fullmatch(text):
        raise wrong("a MAC address is expected, not a multicast one, as in BC:24:11:00:09:70")
    return text.upper()


def address(text: str) -> str:
    """Check `ip`: `dhcp`, `manual`, or an IPv4 address with the length of its network."""
    if text in ("dhcp", "manual"):
        return text
    plain, slash, length = text.partition("/")
    if not (slash and _is(IPv4Address, plain) and _length(length, 8, 32)):
        raise wrong("dhcp, manual or an address with its network is expected, as in 10.0.0.97/24")
    return text


def address6(text: str) -> str:
    """Check `ip6`: `auto`, `dhcp`, `manual`, or an IPv6 address with the length of its network."""
    if text in ("auto", "dhcp", "manual"):
        return text
    plain, slash, length = text.partition("/")
    if not (slash and _is(IPv6Address, plain) and _length(length, 8, 128)):
        raise wrong("auto, dhcp, manual or an address is expected, as in 2001:db8::97/64")
    return text


def gateway(text: str) -> str:
    """Check `gw`."""
    if not _is(IPv4Address, text):
        raise wrong("an IPv4 address is expected, as in 10.0.0.1")
    return text


def gateway6(text: str) -> str:
    """Check `gw6`."""
    if not _is(IPv6Address, text):
        raise wrong("an IPv6 address is expected, as in 2001:db8::1")
    return text


def nameservers(value: object) -> tuple[str, ...]:
    """Read `nameservers`: a list, or a text with blanks or commas between them."""
    words = _words(value, "addresses are expected, each in double quotes")
    for word in words:
        try:
            if "%" in word:
                raise ValueError
            ip_address(word)
        except ValueError:
            raise wrong(f"a name server's address is expected, not {word!r}") from None
    return words


def hostname(text: str) -> str:
    """Check a host's name."""
    if len(text) > _LONGEST_HOSTNAME or not HOSTNAME.fullmatch(text):
        raise wrong("a host's name is expected: letters, digits and hyphens, dots between")
    return text


def searchdomain(text: str) -> str:
    """Check `searchdomain`; several have blanks between them."""
    words = _SEPARATORS.split(one_line(text).strip())
    if not all(HOSTNAME.fullmatch(word) for word in words):
        raise wrong("a domain is expected, as in home.arpa")
    return " ".join(words)


def tags(value: object) -> tuple[str, ...]:
    """Read `tags`: a list, or a text with commas, semicolons or blanks between them."""
    words = _words(value, "tags are expected, each in double quotes")
    for word in words:
        if not TAG.fullmatch(word):
            raise wrong(f"a tag has letters, digits and _ - + ., not {word!r}")
    return words


def snapshot(text: str) -> str:
    """Check the name of a snapshot."""
    if text in _NO_SNAPSHOT:
        raise wrong("this name means something else to Proxmox: another one is expected")
    if not SNAPSHOT.fullmatch(text):
        raise wrong("a snapshot's name is expected: a letter, then letters, digits, _ and -")
    return text


def id_map(value: object) -> RawKey:
    """Read one item of `id_maps`, with the key before it or without."""
    right = "a map of ids is expected, as in u 0 100000 65536"
    if not isinstance(value, str):
        raise wrong(right)
    text = re.sub(r"^lxc\.idmap\s*[:=]", "", one_line(value.replace("\t", " ")).strip())
    words = " ".join(text.split())
    if not ID_MAP.fullmatch(words):
        raise wrong(right)
    return RawKey("lxc.idmap", words)


def hostname_of(name: str, ctid: int) -> str:
    """The host's name that stands for a name that people gave, which may hold anything.

    >>> hostname_of("my_web server", 910)
    'my-web-server'
    >>> hostname_of("…", 910)
    'CT910'
    """
    if len(name) <= _LONGEST_HOSTNAME and HOSTNAME.fullmatch(name):
        return name
    labels = (re.sub(r"[^A-Za-z0-9]+", "-", part)[:63].strip("-") for part in name[:250].split("."))
    # as pct itself calls one without a name
    return ".".join(filter(None, labels)) or f"CT{ctid}"


def _words(value: object, right: str) -> tuple[str, ...]:
    if isinstance(value, str):
        found = [word for word in _SEPARATORS.split(one_line(value).strip()) if word]
    elif isinstance(value, list) and all(isinstance(word, str) for word in value):
        found = value
    else:
        raise wrong(right)
    return tuple(dict.fromkeys(found))


def _is(kind: type[IPv4Address] | type[IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except (AddressValueError, NetmaskValueError):
        return False
    # a zone means something on one machine only
    return "%" not in text


def _length(text: str, least: int, most: int) -> bool:
    return bool(re.fullmatch(r"[1-9][0-9]{0,2}", text, re.ASCII)) and least <= int(text) <= most
