"""A container's id: what may go into a command."""

import re

import pytest

from phoenix.pve.values import check_ctid


@pytest.mark.parametrize("ctid", [100, 910, 999_999_999])
def test_what_proxmox_gives_to_guests_is_taken(ctid):
    check_ctid(ctid)


@pytest.mark.parametrize("ctid", [99, 1_000_000_000, -910, True, 910.0, "910", "910; reboot", None])
def test_what_is_no_ctid_is_refused_as_it_was_written(ctid):
    with pytest.raises(ValueError, match=f"^{re.escape(repr(ctid))} is not a CTID$"):
        check_ctid(ctid)
