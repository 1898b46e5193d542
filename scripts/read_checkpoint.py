#!/usr/bin/env python3
"""Reads a checkpoint file and prints one JSON line per entry, with nothing but Python's standard library.

Of one that holds changes, the parents are looked up beside it. Of native files it can only say which they are: one line each, with
"file", and whether the content is what the checkpoint says.

Written from core/checkpoint/README.md alone: the proof that the format can be read in another language, and the
tests' independent witness. It holds the whole file in memory, which the host never does. zstd frames need Python 3.14
or the module "zstandard"; frame checksums (XXH3) are checked when the module "xxhash" is there, the file's SHA-256 always.
"""
import base64
import hashlib
import json
import os
import struct
import sys


def unpack_lz4(data, length):
    """One LZ4 block: token, literals, distance back, length of the match."""
    out, at = bytearray(), 0

    def extended(count):
        nonlocal at
        while count >= 15:
            byte = data[at]
            at += 1
            count += byte
            if byte != 255:
                break
        return count

    while True:
        token = data[at]
        at += 1
        literals = extended(token >> 4)
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            break
        back = data[at] | data[at + 1] << 8
        at += 2
        match = extended(token & 15) + 4
        if not 0 < back <= len(out):
            raise ValueError("an LZ4 match before the beginning")
        for _ in range(match):
            out.append(out[-back])
    if len(out) != length:
        raise ValueError("an LZ4 block of another length")
    return bytes(out)


def unpack_zstd(data, length):
    try:
        from compression import zstd
        return zstd.decompress(data)
    except ImportError:
        import zstandard
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=length)


UNPACK = {0: lambda data, length: data, 1: unpack_lz4, 2: unpack_zstd}
ENTRIES, PIECE, LAST_PIECE, END, CHANGES = 1, 2, 3, 4, 5


def frames(data):
    """(type, count, payload) for each frame of a snapshot."""
    at = number = 0
    while at < len(data):
        kind, codec, zero, raw_len, stored_len, count, got = struct.unpack_from("<BBHIIIQ", data, at)
        end = at + 24 + stored_len
        if zero or got != number or end + 8 > len(data):
            raise ValueError(f"a malformed frame at byte {at}")
        try:
            import xxhash
            if xxhash.xxh3_64_intdigest(data[at:end]) != struct.unpack_from("<Q", data, end)[0]:
                raise ValueError(f"a wrong checksum at byte {end}")
        except ImportError:
            pass
        yield kind, count, UNPACK[codec](data[at + 24:end], raw_len)
        at, number = end + 8, number + 1


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def entries(data):
    at = 0
    while at < len(data):
        head, at = varint(data, at)
        group, at = varint(data, at)
        key_len, at = varint(data, at)
        value_len, at = varint(data, at)
        expiry = 0
        if head & 1:
            zigzag, at = varint(data, at)
            expiry = zigzag >> 1 ^ -(zigzag & 1)
        key, value = data[at:at + key_len], data[at + key_len:at + key_len + value_len]
        at += key_len + value_len
        yield head >> 2, group, key, None if head & 2 else value, expiry


def snapshot_entries(data):
    pieces, seen, ended = b"", 0, False
    for kind, count, payload in frames(data):
        if kind == END:
            ended = varint(payload, 0)[0] == seen
            continue
        if kind in (PIECE, LAST_PIECE):
            pieces += payload
            payload, pieces = (pieces, b"") if kind == LAST_PIECE else (b"", pieces)
        for entry in entries(payload):
            seen += 1
            yield entry
    if not ended:
        raise ValueError("a snapshot without its end")


def read_file(path):
    """(checkpoint, {snapshot: [entries in their order]}) of one file; a deletion has the value None."""
    with open(path, "rb") as file:
        text = file.read()
    covered, digest = text[:-67], text[-67:-3].decode()
    if text[-3:] != b'"}\n' or hashlib.sha256(covered).hexdigest() != digest:
        sys.exit(f"{path}: the digest does not match")
    checkpoint = json.loads(text)
    envelope = json.loads(base64.b64decode(checkpoint["StateData"], validate=True))
    snapshots = {name: list(snapshot_entries(base64.b64decode(snapshot, validate=True)))
                 for name, snapshot in envelope["backend_snapshots"].items()}
    total = sum(map(len, snapshots.values()))
    if total != checkpoint["Entries"]:
        sys.exit(f"{path}: {total} entries, {checkpoint['Entries']} expected")
    return checkpoint, snapshots


def print_line(**members):
    print(json.dumps(members, separators=(",", ":")))


def main(path):
    checkpoint, snapshots = newest = read_file(path)
    names = {state["id"]: state["name"] for state in checkpoint["States"]}
    chain = [newest]
    while chain[0][0]["Parent"]:
        parent = os.path.join(os.path.dirname(path), chain[0][0]["Parent"] + ".json")
        chain.insert(0, read_file(parent))
    for name in snapshots:
        content = {}
        for member, parts in chain:
            for state, group, key, value, expiry in parts[name]:
                if value is None:
                    content.pop((state, key), None)
                else:
                    content[state, key] = group, value, expiry
        for (state, key), (group, value, expiry) in content.items():
            if len(chain) > 1 and expiry and expiry <= checkpoint["CutMs"]:
                continue  # alive when a parent was written, expired by now
            print_line(snapshot=name, state=names[state], key_group=group, user_part=key.hex(), value=value.hex(),
                       expiry_ms=expiry)
    for file in checkpoint["Files"]:
        with open(os.path.join(os.path.dirname(path), "shared", file["SHA256"]), "rb") as shared:
            content = shared.read()
        print_line(snapshot=file["Snapshot"], file=file["Name"], bytes=file["Bytes"], sha256=file["SHA256"],
                   valid=len(content) == file["Bytes"] and hashlib.sha256(content).hexdigest() == file["SHA256"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: read_checkpoint.py FILE")
    main(sys.argv[1])
