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
Receipts of another history, and what only looks like one, are counted and spoil nothing while others fit: a line in
a log proves nothing about who printed it. What others wrote is shown with all signs escaped that move a cursor.
"""
import argparse
import base64
import hashlib
import json
import os
import re
import stat
import sys

MOST_BYTES, MOST_SHOWN = 2**28, 300  # of a line or a file; of a text of somebody else's
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
    if len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(digest, "little") % L
    base = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    public = point(key)
    try:
        r = point(signature[:32])
    except ValueError:
        return False
    a, b = times(s, base), add(r, times(k, public))
    same = (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0
    return s < L and same


class Wrong(Exception):
    """Something is not what was recorded."""


class Unclear(Exception):
    """Something is missing or cannot be read."""


def shown(text):
    """A text of somebody else's: one line, cut if it is long, no sign in it that moves a cursor or hides."""
    cut = text[:MOST_SHOWN] + ("…" if len(text) > MOST_SHOWN else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in cut)


def opened(name):
    """A file, or a pipe: devices may have no end."""
    mode = os.stat(name).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        raise Unclear(f"{shown(name)}: it is neither a file nor a pipe")
    return open(name, "rb")


def lines_of(name):
    """Its lines, numbered from 1."""
    with opened(name) as file:
        for number, line in enumerate(iter(lambda: file.readline(MOST_BYTES + 1), b""), 1):
            if len(line) > MOST_BYTES:
                raise Unclear(f"{shown(name)}: line {number} is longer than any that a server writes")
            yield number, line


def readable(name, read):
    """What `read` makes of a file's text."""
    try:
        with opened(name) as file:
            data = file.read(4 * MOST_BYTES + 1)
        if len(data) > 4 * MOST_BYTES:
            raise Unclear(f"{shown(name)}: it is larger than any that a server writes")
        return read(data.decode())
    except OSError as error:
        raise Unclear(f"{shown(name)}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise Unclear(f"{shown(name)}: it is not what it should be, or not complete") from error


def refuse(text):
    raise ValueError(text)


def natural(text):
    """A number as it stands in a manifest."""
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else refuse(text)


def once(pairs):
    """A JSON object whose names are there once."""
    return dict(pairs) if len(dict(pairs)) == len(pairs) else refuse("a name twice")


def a_manifest(text):
    """A manifest, if it is one: docs/API.md, "The manifest of an export"."""
    found = json.loads(text, parse_int=natural, parse_float=refuse, parse_constant=refuse, object_pairs_hook=once)
    json.dumps(found, ensure_ascii=False).encode()  # half a character
    is_list = lambda value, is_item: isinstance(value, list) and all(map(is_item, value))
    is_text, is_number = lambda value: isinstance(value, str), lambda value: type(value) is int
    is_run = lambda value: is_list(value, is_number) and len(value) == 2
    is_piece = lambda value: isinstance(value, list) and len(value) == 3 and is_run(value[:2]) and is_text(value[2])
    good = [
        found["manifest"] == 1, is_number(found["lines"]), is_list(found["ids"], is_run), is_list(found["omitted"], is_piece),
        all(map(is_text, (found["origin"], found["checkpoint"], found["sha256"]))), is_list(found["keys"], is_text),
        isinstance(found["filter"], dict) and all(is_list(values, is_text) for values in found["filter"].values()),
    ]
    return found if all(good) else refuse("not a manifest")


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
    try:
        lines = [line.removeprefix("— ").split(" ") for line in signatures.splitlines()]
        found = [(key_name, base64.b64decode(signature, validate=True)) for key_name, signature in lines]
        if not found or not re.match(r"[^\n]+\n[0-9]{1,19}\n[A-Za-z0-9+/=]+\n", text):
            raise ValueError("no checkpoint")
    except ValueError as error:
        raise Unclear(f"{shown(name)}: it is no checkpoint, or not complete") from error
    for key_name, signature in found:
        for known, key_id, key in keys:
            if (key_name, signature[:4]) == (known, key_id) and key[0] == 1:
                if not signed(key[1:], text.encode(), signature[4:]):
                    raise Wrong(f"{shown(name)}: it was changed, or not signed by the key whose name it bears")
                origin, size, root = text.split("\n")[:3]
                if origin != key_name:
                    raise Wrong(f"{shown(name)}: it is of another history than the key that signed it")
                return origin, int(size), base64.b64decode(root, validate=True)
    raise Wrong(f"{shown(name)}: no signature on it is by the key that was given")


def read_lines(name, origin):
    """The leaf hash of each line by its id, and the SHA-256 of the file."""
    leaves, whole = {}, hashlib.sha256()
    for number, line in lines_of(name):
        whole.update(line)
        try:
            entry = json.loads(line.decode(), parse_int=len, parse_float=len, parse_constant=refuse, object_pairs_hook=once)
            id, of = entry["id"], entry["origin"]
            if not isinstance(of, str) or not re.fullmatch(r"[1-9][0-9]{0,18}", id):
                raise ValueError("no line")
            id = int(id)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Unclear(f"{shown(name)}: line {number} is no line of a history, or not complete") from error
        if line.endswith(b"\r\n"):
            raise Unclear(f"{shown(name)}: its line ends were changed to CRLF on the way; get it as it was written")
        if of != origin:
            raise Wrong(f"{shown(name)}: line {number} is of another history than the checkpoint")
        if id in leaves:
            raise Wrong(f"{shown(name)}: line {number}: entry {id} stands twice")
        leaves[id] = hashlib.sha256(b"\0" + line.rstrip(b"\n")).digest()
    if not leaves:
        raise Unclear(f"{shown(name)}: no lines are in it, so nothing can be shown")
    return leaves, whole.hexdigest()


def runs(ids):
    """First and last of each unbroken run of sorted ids."""
    found = []
    for id in ids:
        if found and found[-1][1] + 1 == id:
            found[-1][1] = id
        else:
            found.append([id, id])
    return found


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
    if any(first <= end for first in pieces):
        raise Wrong(f"entry {min(pieces)} is there twice: what the manifest leaves out does not fit the lines")
    if end != size or pieces:
        raise Unclear(f"the checkpoint covers {size} entries, and there are newer ones; take a newer checkpoint")
    digest = stack.pop()[1] if stack else hashlib.sha256(b"").digest()
    while stack:
        digest = hashlib.sha256(b"\1" + stack.pop()[1] + digest).digest()
    return digest


def check_receipts(logs, origin, leaves):
    """Prints what the receipts in logs say; those of entries that are not there are not looked at."""
    fit, wrong, junk, foreign, left_out = [], [], [], [], []
    for log in logs:
        before = sum(map(len, (fit, wrong, junk, foreign, left_out)))
        for number, line in lines_of(log):
            for text in line.decode(errors="replace").split("gitops-status receipt ")[1:]:
                words = re.fullmatch(r"(\S+) ([1-9][0-9]{0,18}) ([0-9a-fA-F]{64})", " ".join(text.split()[:3]))
                leaf = leaves.get(int(words[2])) if words else None
                if not words:
                    kind = junk
                elif words[1] != origin:
                    kind = foreign
                elif leaf is None:
                    kind = left_out
                else:
                    kind = fit if leaf == bytes.fromhex(words[3]) else wrong
                kind.append(f"line {number} of {shown(log)}" + (f" (entry {words[2]})" if kind is wrong else ""))
        if before == sum(map(len, (fit, wrong, junk, foreign, left_out))):
            raise Unclear(f"{shown(log)}: no receipts are in it")
    all = len(fit) + len(wrong) + len(foreign) + len(left_out)
    print(f"{len(fit)} of {all} receipts fit")
    for some, what in (left_out, "are of entries that are left out, or newer"), (foreign, "are of another history"):
        if some:
            print(f"not compared: {len(some)} of {all} receipts {what}, the first on {some[0]}")
    if junk:
        print(f"not compared: {len(junk)} more look like receipts and are none, the first on {junk[0]}")
    if junk or foreign or wrong:
        print("(a line in a log proves nothing about who printed it; those that the reporting step printed count)")
    if wrong:
        more = f", and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise Wrong(f"{len(wrong)} of {all} receipts do not fit: {', '.join(wrong[:20])}{more}")
    if not fit:
        raise Unclear("none of the receipts is of an entry that is in the file")


def check(options):
    try:
        keys = public_keys(options.key)
    except ValueError:
        keys = readable(options.key, public_keys)
    beside = options.export + ".manifest.json"
    options.manifest = options.manifest or (beside if os.path.exists(beside) else None)
    manifest = readable(options.manifest, a_manifest) if options.manifest else {"omitted": []}
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
        said = manifest["sha256"], manifest["lines"], manifest["ids"], manifest["origin"]
        if said != (whole, len(ids), runs(ids), origin):
            raise Wrong(f"{shown(options.export)}: it is not the file that {shown(options.manifest)} is about, byte for byte")
    for first, count, digest in manifest["omitted"]:
        fits = count > 0 and not count & (count - 1) and not (first - 1) % count and re.fullmatch("[0-9a-fA-F]{64}", digest)
        if first in pieces or not fits:
            raise Wrong(f"{shown(options.manifest)}: what it leaves out does not fit the lines at entry {first}")
        pieces[first] = (count, bytes.fromhex(digest))
    if root_of(pieces, size) != root:
        raise Wrong("a line, or what the manifest says of those left out, is not what was recorded")
    between = ids[-1] - ids[0] + 1 - len(ids)
    print(f"{len(ids)} lines are what was recorded: root {root.hex()} of {size} entries of {shown(origin)}")
    print(f"ids {ids[0]} to {ids[-1]}: {between} between them are left out")
    if between:
        filter = " ".join(f"{name}={value}" for name, values in manifest.get("filter", {}).items() for value in values)
        quoted = shown(filter).replace('"', '\\"')
        print(f"left out by the filter, as the exporting side says: \"{quoted}\"")
    if options.receipts:
        check_receipts(options.receipts, origin, leaves)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("export")
    options.add_argument("--key", required=True)
    options.add_argument("--checkpoint")
    options.add_argument("--manifest")
    options.add_argument("--receipts", metavar="LOG", action="append", default=[])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    try:
        check(options.parse_args())
        sys.stdout.flush()
    except Wrong as error:
        end(1, f"WRONG: {error}")
    except Unclear as error:
        end(2, f"CANNOT CHECK: {error}")
    except OSError as error:
        end(2, f"CANNOT CHECK: {shown(str(error.filename or ''))}: {error.strerror}")
    except Exception as error:  # whatever a hostile file makes of this
        end(2, f"CANNOT CHECK: something cannot be read ({type(error).__name__})")


def end(code, line):
    print(line, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
