"""Proxmox's property strings: `features`, `mpN`, `devN` hold `name=value` parts at commas.

Source: pve-common `PVE/JSONSchema.pm parse_property_string`.
"""

from collections.abc import Mapping


def parse(text: str, default_key: str | None = None) -> dict[str, str]:
    """Split a property string into its values, in order.

    `default_key`: the name of a part that comes without one (`volume` of mpN, `path` of devN).
    Blanks belong to names and values; empty parts are skipped. Raises ValueError for a part
    without a name or value, or a duplicate name.
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        if not equals and default_key:
            name, value = default_key, part
        if not (name and value):
            raise ValueError(f"{part!r} is not of the form name=value")
        if name in values:
            raise ValueError(f"duplicate {name!r}")
        values[name] = value
    return values


def render(values: Mapping[str, str], default_key: str | None = None) -> str:
    """Write values as a property string; that of `default_key` without its name."""
    return ",".join(
        value if name == default_key else f"{name}={value}" for name, value in values.items()
    )
