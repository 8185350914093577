"""For tests of profiles: this machine's own parser."""

import pytest

from phoenix.cli.lint import find_parser


@pytest.fixture
def parser():
    path = find_parser()
    if path is None:
        pytest.skip("no apparmor_parser on this machine: apt install apparmor")
    return path
