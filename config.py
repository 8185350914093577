"""pyinfra's own settings for this project."""

from pyinfra import config

# --dry and the prompt show the diff of every file without a further flag
config.DIFF = True
