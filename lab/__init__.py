"""The lab: a Proxmox-like node in a VM (`phoenix lab up`)."""
