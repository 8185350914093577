"""The fleet file: how each container shall be."""
