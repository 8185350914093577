"""Texts and documents: read within bounds, kept as they are, made printable."""
