"""Texts by hash: how a document is named wherever its bytes are kept."""

from __future__ import annotations

import hashlib


def text_hash(text: bytes) -> str:
    """The name of a text: BLAKE2b with 20 bytes, in hex."""
    return hashlib.blake2b(text, digest_size=20).hexdigest()
