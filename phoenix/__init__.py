"""Decisions of phoenix-harden: pure, no I/O, no pyinfra."""
