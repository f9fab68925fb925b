"""The table by which a sentencepiece model normalises characters, checked before a library walks it.

It is the length of a trie in bytes (4 bytes, little-endian), the trie (a double array of 4-byte units), and the
texts that characters become, each ended by a zero byte. Tokenizers follows the units' numbers unchecked, and
aborts where they lead outside.
"""

import numpy as np

_LEAF = np.uint32(1 << 31)  # marks a unit that is a place in the texts; the others are nodes
_LABELS = 256  # values of a byte, by each of which a node can be left


def is_sound(charsmap: bytes) -> bool:
    """True where no walk along the trie leaves it, and every place in the texts is the start of a character."""
    length = int.from_bytes(charsmap[:4], "little")
    trie, texts = charsmap[4 : 4 + length], charsmap[4 + length :]
    if len(trie) != length or length % 4 or not length:
        return False
    units = np.frombuffer(trie, "<u4")
    nodes = np.flatnonzero(units < _LEAF)
    # Darts, a double-array trie: where a node's successors begin, told relative to its own place.
    offsets = (units[nodes] >> 10) << ((units[nodes] & 512) >> 6)
    furthest = (nodes.astype(np.uint64) ^ offsets) | (_LABELS - 1)
    places = (units[units >= _LEAF] ^ _LEAF).astype(np.int64)
    if furthest.max(initial=0) >= len(units) or places.max(initial=0) >= len(texts) + 1:
        return False
    bytes_of_texts = np.frombuffer(texts + b"\0", np.uint8)
    return not np.any(bytes_of_texts[places] & 0xC0 == 0x80)  # continues a character
