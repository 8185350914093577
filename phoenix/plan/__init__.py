"""Decisions: what must change on a node, and why."""
