"""The command `phoenix`."""
