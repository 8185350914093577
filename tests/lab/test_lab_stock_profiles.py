"""What lint finds in the profiles that LXC itself brings, as they lie on the node."""

from __future__ import annotations

import pytest

from phoenix.apparmor.lint import lint

pytestmark = pytest.mark.lab

#: File to (line, rule) of what is wrong with it, warnings included.
FOUND = {
    "lxc-default": [],
    "lxc-default-cgns": [],
    "lxc-default-with-mounting": [],
    "lxc-default-with-nesting": [(6, "lets-out"), (12, "mounts-anywhere")],
}


@pytest.fixture(scope="module")
def stock(lab):
    """The texts of the stock profiles, by file."""
    folder = "/etc/apparmor.d/lxc"
    names = lab.ssh(f"ls {folder}").stdout.split()
    return {name: lab.ssh(f"cat {folder}/{name}").stdout for name in names}


def test_every_stock_profile_is_looked_at(stock):
    assert stock.keys() == FOUND.keys()


@pytest.mark.parametrize("name", FOUND)
def test_of_lxcs_own_profiles_only_the_nesting_one_lets_root_out(stock, name):
    found = lint(stock[name], by_itself=False, parser_message="")
    assert [(one.line, one.rule) for one in found] == FOUND[name]


def test_for_docker_none_of_them_will_do(stock):
    for name, text in stock.items():
        rules = {one.rule for one in lint(text, by_itself=False, parser_message="", docker=True)}
        assert "container-base-with-docker" in rules, name
