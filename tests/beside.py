"""What lies beside the checkout, as recordings and real fleets do; some tests need it."""

import pytest

ABSENT = "{} lies beside the checkout, not in it, and is not here"


def beside(path):
    """The path; the test is skipped if nothing is there."""
    if not path.exists():
        pytest.skip(ABSENT.format(path))
    return path


def needs(path):
    """A mark: the test is skipped if nothing is there."""
    return pytest.mark.skipif(not path.exists(), reason=ABSENT.format(path))
