"""For all tests: a busy machine is no finding, and `make test-long` tries more of what there is."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.register_profile("long", deadline=None, max_examples=1000)
settings.load_profile("untimed")  # unless --hypothesis-profile names the other
