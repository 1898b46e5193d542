"""Checkpoints that a liar could have written: any member, any frame, and every checksum and digest right.

The format is docs/checkpoints.md's. XXH3 and Zstandard come from the libraries that the build needs anyway."""

import base64
import ctypes
import ctypes.util
import json
import re
import struct

import harness

ENTRIES, PIECE, LAST_PIECE, END, CHANGES = 1, 2, 3, 4, 5
NONE, LZ4, ZSTD = 0, 1, 2


def library(name):
    return ctypes.CDLL(ctypes.util.find_library(name) or "lib%s.so" % name)


def xxh3(data):
    function = library("xxhash").XXH3_64bits
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return function(data, len(data))


def zstd(data):
    """One frame, which says how much it holds."""
    functions = library("zstd")
    functions.ZSTD_compressBound.restype = functions.ZSTD_compress.restype = ctypes.c_size_t
    room = ctypes.create_string_buffer(functions.ZSTD_compressBound(ctypes.c_size_t(len(data))))
    length = functions.ZSTD_compress(room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)), 1)
    return room.raw[:length]


def zstd_zeros(length):
    """A frame of zeros of any length, made of blocks that repeat one byte: four bytes for each 128 KiB. It does not say how
    much it holds, and asks for a window of 2 GiB."""
    blocks = bytearray(b"\x28\xb5\x2f\xfd\x00\xa8")
    while length:
        size = min(length, 128 << 10)
        length -= size
        blocks += struct.pack("<I", size << 3 | 1 << 1 | (length == 0))[:3] + b"\0"
    return bytes(blocks)


def lz4_zeros(length):
    """A block of zeros: one literal, then one match as long as it takes, a byte for each 255."""
    match = length - 1 - 4 - 15 - 5
    return b"\x1f\0\x01\0" + b"\xff" * (match // 255) + bytes([match % 255]) + b"\x50" + bytes(5)


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def entry(key, value, head=0, group=0, key_len=None, value_len=None):
    return (varint(head) + varint(group) + varint(len(key) if key_len is None else key_len) +
            varint(len(value) if value_len is None else value_len) + key + value)


def frame(kind, payload, count=0, number=0, codec=NONE, raw_len=None, stored_len=None):
    raw = len(payload) if raw_len is None else raw_len
    stored = len(payload) if stored_len is None else stored_len
    head = struct.pack("<BBHIIIQ", kind, codec, 0, raw, stored, count, number) + payload
    return head + struct.pack("<Q", xxh3(head))


def end(entries, number):
    return frame(END, varint(entries), number=number)


def base64_text(data):
    return base64.b64encode(data).decode()


def envelope(snapshots, providers=None):
    return json.dumps({"provider_state": {name: base64_text(data) for name, data in (providers or {}).items()},
                       "backend_snapshots": {name: base64_text(data) for name, data in snapshots.items()}},
                      separators=(",", ":"))


def member(content, name, text):
    """content with text, as it is, for the value of a member; the digest is made anew."""
    value = rb'(\n"%s":)(.*?)(,?\n(?="[A-Z]))' % name.encode()
    changed, times = re.subn(value, lambda m: m.group(1) + text.encode("utf-8", "surrogateescape") + m.group(3), content,
                             count=1, flags=re.S)
    assert times == 1, name
    return harness.sign(changed)


def value(content, name, what):
    return member(content, name, json.dumps(what, separators=(",", ":")))


def state_data(content, text):
    """content with that envelope for its StateData."""
    data = base64_text(text.encode())
    return member(member(content, "StateData", '"%s"' % data), "StateDataBytes", str(len(data)))


def frames(content, *several, providers=None):
    return state_data(content, envelope({"backend-0": b"".join(several)}, providers))
