#!/usr/bin/env python3
"""Check an exported history without the program that wrote it: standard library only, Python 3.9.

    verify_export.py HISTORY.ndjson --key KEY --checkpoint CHECKPOINT
    verify_export.py QUARTER.ndjson --key KEY --receipts CI.log

A manifest beside the export is found by itself (or name it: --manifest FILE); it has a checkpoint in it.
KEY is the public key (NAME+ID+BASE64) or a file with some; get it by another way than the export.
Hashes every line (RFC 6962), builds the Merkle tree with what the manifest leaves out, and compares its root with
the checkpoint (C2SP signed note, Ed25519). Receipts are "gitops-status receipt ORIGIN ID HASH" in logs.

Exit code 0: the lines are what was recorded. 1, WRONG: they are not. 2, CANNOT CHECK: something is missing or
unreadable. It does not show that the export holds all of its period: what is left out, and why, is in the manifest.
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


class Wrong(Exception):
    """Something is not what was recorded."""


class Unclear(Exception):
    """Something is missing or cannot be read."""


def readable(name, read):
    """What `read` makes of a file's text."""
    try:
        with open(name, encoding="utf-8") as file:
            return read(file.read())
    except OSError as error:
        raise Unclear(f"{name}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Unclear(f"{name}: it is not what it should be, or not complete") from error


def public_keys(text):
    lines = [line.strip().split("+", 2) for line in text.splitlines() if line.count("+") > 1 and line[0] not in "#P"]
    keys = [(name, bytes.fromhex(id), base64.b64decode(key, validate=True)) for name, id, key in lines]
    if not keys or any(len(key) != 33 for _, _, key in keys):
        raise ValueError("no public key")
    return keys


def checkpoint(name, note, keys):
    """Origin, size and root of a signed checkpoint."""
    text, _, signatures = note.replace("\r\n", "\n").rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        key_name, signature = line.removeprefix("— ").split(" ")
        signature = base64.b64decode(signature, validate=True)
        for known, key_id, key in keys:
            if (key_name, signature[:4]) == (known, key_id) and key[0] == 1:
                if not signed(key[1:], text.encode(), signature[4:]):
                    raise Wrong(f"{name}: it was changed, or not signed by the key whose name it bears")
                origin, size, root = text.split("\n")[:3]
                if origin != key_name:
                    raise Wrong(f"{name}: it is of another history than the key that signed it")
                return origin, int(size), base64.b64decode(root, validate=True)
    raise Wrong(f"{name}: no signature on it is by the key that was given")


def read_lines(name, origin):
    """The leaf hash of each line by its id, and the SHA-256 of the file."""
    leaves, whole = {}, hashlib.sha256()
    try:
        with open(name, "rb") as export:
            for number, line in enumerate(export, 1):
                whole.update(line)
                try:
                    entry = json.loads(line)
                    id, of = int(entry["id"]), entry["origin"]
                except (ValueError, KeyError, TypeError) as error:
                    raise Unclear(f"{name}: line {number} is no line of a history, or not complete") from error
                if line.endswith(b"\r\n"):
                    raise Unclear(f"{name}: its line ends were changed to CRLF on the way; get it as it was written")
                if of != origin:
                    raise Wrong(f"{name}: line {number} is of another history than the checkpoint")
                if id in leaves:
                    raise Wrong(f"{name}: line {number}: entry {id} stands twice")
                leaves[id] = hashlib.sha256(b"\0" + line.rstrip(b"\n")).digest()
    except OSError as error:
        raise Unclear(f"{name}: {error.strerror}") from error
    if not leaves:
        raise Unclear(f"{name}: no lines are in it, so nothing can be shown")
    return leaves, whole.hexdigest()


def root_of(pieces, size):
    """The root over pieces: first id -> number of entries, hash of the subtree over them."""
    stack, end = [], 0
    while end < size:
        if end + 1 not in pieces:
            raise Wrong(f"entry {end + 1} is missing: neither in the file nor accounted for by a manifest")
        count, digest = pieces.pop(end + 1)
        end += count
        while stack and stack[-1][0] == count:
            digest, count = hashlib.sha256(b"\1" + stack.pop()[1] + digest).digest(), 2 * count
        stack.append((count, digest))
    if end != size or pieces:
        raise Unclear(f"the checkpoint covers {size} entries, and there are newer ones; take a newer checkpoint")
    digest = stack.pop()[1] if stack else hashlib.sha256(b"").digest()
    while stack:
        digest = hashlib.sha256(b"\1" + stack.pop()[1] + digest).digest()
    return digest


def check_receipts(name, origin, leaves):
    """How many receipts of a log fit; those of entries that are not there are not looked at."""
    with open(name, encoding="utf-8", errors="replace") as log:
        texts = [text.split()[:3] for line in log for text in line.split("gitops-status receipt ")[1:]]
    held = [(int(id), bytes.fromhex(digest)) for of, id, digest in texts if of == origin]
    if len(held) < len(texts):
        raise Unclear(f"{name}: {len(texts) - len(held)} of {len(texts)} receipts are of another history")
    known = [(id, digest) for id, digest in held if id in leaves]
    for id, digest in known:
        if leaves[id] != digest:
            raise Wrong(f"entry {id} is not what its receipt in {name} says")
    if not known:
        raise Unclear(f"{name}: {len(texts)} receipts, and none of an entry that is in the file")
    return f"{len(known)} of {len(texts)} receipts fit, the others are of entries that are left out, or newer"


def check(options):
    try:
        keys = public_keys(options.key)
    except ValueError:
        keys = readable(options.key, public_keys)
    beside = options.export + ".manifest.json"
    options.manifest = options.manifest or (beside if os.path.exists(beside) else None)
    manifest = readable(options.manifest, json.loads) if options.manifest else {"omitted": []}
    if options.checkpoint:
        note = readable(options.checkpoint, str)
    elif "checkpoint" in manifest:
        note = manifest["checkpoint"]
    else:
        raise Unclear("give --checkpoint FILE or --manifest FILE; a manifest has a checkpoint in it")
    origin, size, root = checkpoint(options.checkpoint or options.manifest, note, keys)
    leaves, whole = read_lines(options.export, origin)
    pieces = {id: (1, leaf) for id, leaf in leaves.items()}
    ids = sorted(leaves)
    if options.manifest:
        runs = [id for first, last in manifest["ids"] for id in range(first, min(last, size) + 1)]
        said = manifest["sha256"], manifest["lines"], runs, manifest["origin"]
        if said != (whole, len(ids), ids, origin):
            raise Wrong(f"{options.export}: it is not the file that {options.manifest} is about, byte for byte")
    for first, count, digest in manifest["omitted"]:
        if first in pieces or count < 1 or count & (count - 1) or (first - 1) % count:
            raise Wrong(f"{options.manifest}: what it leaves out does not fit the lines at entry {first}")
        pieces[first] = (count, bytes.fromhex(digest))
    if root_of(pieces, size) != root:
        raise Wrong("a line, or what the manifest says of those left out, is not what was recorded")
    between = ids[-1] - ids[0] + 1 - len(ids)
    filter = " ".join(f"{name}={value}" for name, values in manifest.get("filter", {}).items() for value in values)
    print(f"{len(ids)} lines are what was recorded: root {root.hex()} of {size} entries of {origin}")
    print(f"ids {ids[0]} to {ids[-1]}: {between} between them are left out" + (f", by the filter {filter} as the exporting side says" if between else ""))
    for log in options.receipts:
        print(check_receipts(log, origin, leaves))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("export")
    options.add_argument("--key", required=True)
    options.add_argument("--checkpoint")
    options.add_argument("--manifest")
    options.add_argument("--receipts", metavar="LOG", action="append", default=[])
    try:
        check(options.parse_args())
    except Wrong as error:
        print(f"WRONG: {error}", file=sys.stderr)
        sys.exit(1)
    except Unclear as error:
        print(f"CANNOT CHECK: {error}", file=sys.stderr)
        sys.exit(2)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        print(f"CANNOT CHECK: something cannot be read: {error!r:.200}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
