"""What Proxmox's own files mean, and what was seen of them on a node."""
