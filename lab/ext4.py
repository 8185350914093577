"""Shifts the owners inside an ext4 image, as unprivileged containers need it.

A user namespace on the building machine rarely maps the ids from 100000 on, so the tree
is built with plain ids and the image is patched afterwards: the inode tables are walked
and every owner and group is raised. That works alike as root and without.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

SUPERBLOCK = 1024
MAGIC = 0xEF53
RO_COMPAT_METADATA_CSUM = 0x400
INCOMPAT_64BIT = 0x80
BG_INODE_UNINIT = 0x1
ROOT_INODE = 2
FIRST_INODE = 11  # below it only the root directory belongs to anybody


def shift_owners(image: Path, offset: int) -> int:
    """Add *offset* to the uid and gid of every inode in use; return how many there were.

    The image must be made with ``-O ^metadata_csum``: checksums are not recomputed.
    """
    shifted = 0
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as disk:
        (inodes_per_group,) = struct.unpack_from("<I", disk, SUPERBLOCK + 0x28)
        inodes_count, blocks_count = struct.unpack_from("<II", disk, SUPERBLOCK)
        first_block, log_block_size = struct.unpack_from("<II", disk, SUPERBLOCK + 0x14)
        (blocks_per_group,) = struct.unpack_from("<I", disk, SUPERBLOCK + 0x20)
        (magic,) = struct.unpack_from("<H", disk, SUPERBLOCK + 0x38)
        (inode_size,) = struct.unpack_from("<H", disk, SUPERBLOCK + 0x58)
        incompat, ro_compat = struct.unpack_from("<II", disk, SUPERBLOCK + 0x60)
        (desc_size,) = struct.unpack_from("<H", disk, SUPERBLOCK + 0xFE)
        if magic != MAGIC:
            raise ValueError(f"{image} is no ext4 image")
        if ro_compat & RO_COMPAT_METADATA_CSUM:
            raise ValueError(f"{image} has metadata checksums: make it with -O ^metadata_csum")
        wide = bool(incompat & INCOMPAT_64BIT)
        block = 1024 << log_block_size
        groups = -(-(blocks_count - first_block) // blocks_per_group)
        descriptors = (first_block + 1) * block
        for group in range(groups):
            at = descriptors + group * (desc_size if wide else 32)
            bitmap_lo, table_lo = struct.unpack_from("<II", disk, at + 0x4)
            (flags,) = struct.unpack_from("<H", disk, at + 0x12)
            if flags & BG_INODE_UNINIT:
                continue
            bitmap_hi, table_hi = struct.unpack_from("<II", disk, at + 0x24) if wide else (0, 0)
            bitmap = (bitmap_lo | bitmap_hi << 32) * block
            table = (table_lo | table_hi << 32) * block
            for index in range(min(inodes_per_group, inodes_count - group * inodes_per_group)):
                number = group * inodes_per_group + index + 1
                owned = number >= FIRST_INODE or number == ROOT_INODE
                if owned and disk[bitmap + index // 8] >> (index % 8) & 1:
                    _shift_inode(disk, table + index * inode_size, offset)
                    shifted += 1
    return shifted


def _shift_inode(disk: mmap.mmap, at: int, offset: int) -> None:
    for low, high in ((0x02, 0x78), (0x18, 0x7A)):  # i_uid and l_i_uid_high, then the gid
        (lo,) = struct.unpack_from("<H", disk, at + low)
        (hi,) = struct.unpack_from("<H", disk, at + high)
        value = (lo | hi << 16) + offset
        struct.pack_into("<H", disk, at + low, value & 0xFFFF)
        struct.pack_into("<H", disk, at + high, value >> 16)
