"""Fleets for tests: small ones made on the spot, real ones with the names changed."""

import json
from pathlib import Path

import pytest

from phoenix.fleet.parse import FleetError, parse_fleet

ROOT = Path(__file__).parents[2]
FLEETS = ROOT / "tests/recordings/fleets"
TEMPLATES = {"lxc-docker-nested", "lxc-phoenix-v2", "lxc-nesting-gpu-docker-storage"}


def fleet(templates=TEMPLATES, **containers):
    """Parse a fleet of containers given as ct910={...}."""
    named = {key.removeprefix("ct"): value for key, value in containers.items()}
    return parse_fleet(json.dumps({"lxc_configs": named}).encode(), templates)


def container(**entry):
    return fleet(ct910=entry).containers[910]


def problems(**entry):
    with pytest.raises(FleetError) as caught:
        container(**entry)
    return caught.value.problems


def problem(**entry):
    (only,) = problems(**entry)
    return only


def real(name):
    return (FLEETS / name).read_bytes()
