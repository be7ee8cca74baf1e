"""The frame of a PNG: its header and the names of its chunks, read without decoding it."""

import struct
from dataclasses import dataclass

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
PLAIN_CHUNKS = frozenset({"IHDR", "IDAT", "IEND"})


@dataclass(frozen=True)
class PngFrame:
    """Size (px), bits, colour type and interlacing as the header has them; chunk names in order.

    `trailing` is the number of bytes after the end of the image. Source: PNG specification, 3rd
    edition, sections 5 and 11.
    """

    width: int
    height: int
    bits: int
    colour: int
    interlaced: int
    chunks: tuple[str, ...]
    trailing: int

    @property
    def is_plain(self) -> bool:
        """Whether it is red, green and blue in 8 bits, not interlaced."""
        return (self.bits, self.colour, self.interlaced) == (8, 2, 0)


def read_frame(data: bytes) -> PngFrame | None:
    """The frame of these bytes; None where they are no whole PNG."""
    if not data.startswith(_SIGNATURE):
        return None
    chunks, place = [], len(_SIGNATURE)
    while not chunks or chunks[-1] != "IEND":
        if place + 12 > len(data):
            return None
        chunks.append(data[place + 4 : place + 8].decode("latin-1"))
        place += 12 + int.from_bytes(data[place : place + 4])
    if place > len(data) or chunks[0] != "IHDR":
        return None
    width, height, bits, colour, _, _, interlaced = _HEADER.unpack_from(data, 16)
    return PngFrame(width, height, bits, colour, interlaced, tuple(chunks), len(data) - place)
