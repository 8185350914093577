"""For all tests: a busy machine is no finding, and `make test-long` tries more of what there is."""

import gc
import os

import pytest
from gevent import monkey
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.register_profile("long", deadline=None, max_examples=1000)
settings.load_profile("untimed")  # unless --hypothesis-profile names the other


def pytest_collection_finish() -> None:
    """Tests that were collected stay to the end, and there are thousands to look through."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Close folders at once again, before pytest removes those of earlier sessions.

    gevent, which pyinfra brings, closes them when its loop next turns (`gevent.os.close`). Here it
    no longer does, and a thousand folders removed in one go take all descriptors.
    """
    os.close = monkey.get_original("os", "close")
