#!/usr/bin/env python3
"""Check an exported history without the program that wrote it: standard library only.

    verify_export.py HISTORY.ndjson --key KEY --checkpoint CHECKPOINT
    verify_export.py QUARTER.ndjson --key KEY --manifest QUARTER.ndjson.manifest.json

KEY is the public key (NAME+ID+BASE64) or a file with some; get it by another way than the export.
Hashes every line (RFC 6962), builds the Merkle tree with what the manifest leaves out, and compares
its root with the checkpoint (C2SP signed note, Ed25519). Exit code 0: the lines are what was recorded.
"""
import argparse
import base64
import hashlib
import json
import os
import sys

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
I = pow(2, (P - 1) // 4, P)


def add(a, b):  # RFC 8032, 5.1.4
    x, y = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    t, z = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    e, f, g, h = y - x, z - t, z + t, y + x
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, point):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, point)
        point, n = add(point, point), n >> 1
    return total


def point(data):  # RFC 8032, 5.1.3
    y, sign = int.from_bytes(data, "little") % 2**255, data[31] >> 7
    xx = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(xx, (P + 3) // 8, P)
    x = x if x * x % P == xx else x * I % P
    if y >= P or x * x % P != xx or (x == 0 and sign):
        raise ValueError("not a point")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def signed(key, message, signature):  # RFC 8032, 5.1.7
    s = int.from_bytes(signature[32:], "little")
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(digest, "little") % L
    base = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    a, b = times(s, base), add(point(signature[:32]), times(k, point(key)))
    same = (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0
    return len(signature) == 64 and s < L and same


def checkpoint(note, keys):
    """Origin, size and root of a signed checkpoint."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        name, signature = line.removeprefix("— ").split(" ")
        signature = base64.b64decode(signature, validate=True)
        for key_name, key_id, key in keys:
            if (name, signature[:4]) == (key_name, key_id) and key[0] == 1:
                if not signed(key[1:], text.encode(), signature[4:]):
                    sys.exit("WRONG: the checkpoint's signature is not by its key")
                origin, size, root = text.split("\n")[:3]
                return origin, int(size), base64.b64decode(root, validate=True)
    sys.exit("WRONG: the checkpoint is not signed by the key that was given")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("export")
    options.add_argument("--key", required=True)
    options.add_argument("--checkpoint")
    options.add_argument("--manifest")
    options = options.parse_args()
    keys = open(options.key).read() if os.path.exists(options.key) else options.key
    keys = [line.strip().split("+", 2) for line in keys.splitlines() if line.count("+") > 1 and line[0] not in "#P"]
    keys = [(name, bytes.fromhex(id), base64.b64decode(key)) for name, id, key in keys]
    manifest = json.load(open(options.manifest)) if options.manifest else {"omitted": []}
    note = open(options.checkpoint).read() if options.checkpoint else manifest.get("checkpoint")
    if not note:
        sys.exit("give --checkpoint FILE or --manifest FILE")
    origin, size, root = checkpoint(note, keys)

    pieces = {}  # first id -> number of entries, hash of the subtree over them
    with open(options.export, "rb") as export:
        for number, line in enumerate(export, 1):
            line = line.rstrip(b"\n")
            entry = json.loads(line)
            if entry["origin"] != origin or int(entry["id"]) in pieces:
                sys.exit(f"WRONG: line {number}: of another history, or its id stands twice")
            pieces[int(entry["id"])] = (1, hashlib.sha256(b"\0" + line).digest())
    lines = len(pieces)
    for first, count, digest in manifest["omitted"]:
        if first in pieces or count < 1 or count & (count - 1) or (first - 1) % count:
            sys.exit(f"WRONG: the manifest does not fit the lines at entry {first}")
        pieces[first] = (count, bytes.fromhex(digest))

    stack, end = [], 0
    while end < size:
        if end + 1 not in pieces:
            sys.exit(f"WRONG: entry {end + 1} is missing")
        count, digest = pieces.pop(end + 1)
        end += count
        while stack and stack[-1][0] == count:
            digest, count = hashlib.sha256(b"\1" + stack.pop()[1] + digest).digest(), 2 * count
        stack.append((count, digest))
    digest = stack.pop()[1] if stack else hashlib.sha256(b"").digest()
    while stack:
        digest = hashlib.sha256(b"\1" + stack.pop()[1] + digest).digest()
    if end != size or pieces:
        sys.exit(f"WRONG: the lines go beyond the {size} entries of the checkpoint")
    if digest != root:
        sys.exit("WRONG: the lines are not what was recorded")
    print(f"{lines} lines are what was recorded: root {root.hex()} of {size} entries of {origin}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        sys.exit(f"WRONG: something cannot be read: {error!r}")
