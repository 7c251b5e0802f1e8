"""Checkpoints made byte by byte, without PyTorch: good ones and hostile ones. A pickle is a string of
opcodes here, so that it can say what no pickler would write.

    python3 checkpoint_maker.py FOLDER      writes the hostile ones, as the fuzz corpus has them"""
import io
import os
import struct
import sys
import warnings
import zipfile

import numpy as np

CALL = b"R"
DICT = b"}"
MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
NONE, TRUE, FALSE = b"N", b"\x88", b"\x89"
ORDERED = b"ccollections\nOrderedDict\n)R"


def number(n):
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if -2 ** 31 <= n < 2 ** 31:
        return b"J" + struct.pack("<i", n)
    body = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(body)]) + body


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return b"X" + struct.pack("<I", len(s)) + s


def name(module, member):
    return f"c{module}\n{member}\n".encode()


def tup(*parts):
    return b"(" + b"".join(parts) + b"t"


def numbers(values):
    return tup(*[number(v) for v in values])


def storage(key, n, kind="FloatStorage", module="torch", view=None):
    parts = [text("storage"), name(module, kind), text(key), text("cpu"), number(n)]
    return tup(*parts, *([view] if view is not None else [])) + b"Q"


def tensor(where, shape, strides=None, offset=0, maker="_rebuild_tensor_v2"):
    if strides is None:
        strides = [int(np.prod(shape[i + 1:])) for i in range(len(shape))]
    return name("torch._utils", maker) + tup(
        where, number(offset), numbers(shape), numbers(strides), FALSE, ORDERED) + CALL


def pairs(entries):
    """An OrderedDict of (key, value) opcodes."""
    return ORDERED + b"(" + b"".join((text(k) if isinstance(k, (str, bytes)) else number(k)) + v
                                     for k, v in entries) + b"u"


def pickle(value, protocol=2):
    return bytes([0x80, protocol]) + value + b"."


def archive(value, storages, root="archive", method=zipfile.ZIP_STORED, more=()):
    """A zip file with data.pkl and storages {key: bytes}."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that occur twice are what some tests want
        with zipfile.ZipFile(out, "w", method) as z:
            for path, data in [("data.pkl", pickle(value) if value is not None else None),
                               ("version", b"3\n"),
                               *[(f"data/{k}", d) for k, d in storages.items()]]:
                if data is not None:
                    z.writestr(zipfile.ZipInfo(f"{root}/{path}"), data, method)
            for path, data in more:
                z.writestr(zipfile.ZipInfo(path), data, method)
    return out.getvalue()


def old(value, storages, protocol=1001, little=TRUE):
    """The format before 1.6; storages are {key: (count, bytes)}."""
    system = DICT + b"(" + text("little_endian") + little + b"u"
    keys = b"](" + b"".join(text(k) for k in storages) + b"e"
    return (pickle(MAGIC) + pickle(number(protocol)) + pickle(system) + pickle(value) +
            pickle(keys) + b"".join(struct.pack("<q", n) + d for n, d in storages.values()))


RAMP = np.arange(6, dtype="<f4").tobytes()
GOOD = pairs([("w", tensor(storage("0", 6), [2, 3]))])


def patched(data, at, new):
    return data[:at] + new + data[at + len(new):]


def directory(data):
    """Place of the first entry of a small archive's directory."""
    return struct.unpack_from("<I", data, len(data) - 6)[0]


def entry(data, path):
    at = directory(data)
    while True:
        n, extra, comment = struct.unpack_from("<HHH", data, at + 28)
        if data[at + 46:at + 46 + n] == path.encode():
            return at
        at += 46 + n + extra + comment


def wide(data, path, size=None):
    """The same archive with a zip64 field for one member; `size` is a lie about it."""
    at = entry(data, path)
    packed, full = struct.unpack_from("<II", data, at + 20)
    n, = struct.unpack_from("<H", data, at + 28)
    local, = struct.unpack_from("<I", data, at + 42)
    size = (full, packed) if size is None else (size, size)
    field = struct.pack("<HHQQQ", 1, 24, *size, local)
    head = patched(data[at:at + 46], 20, b"\xff" * 8)
    head = patched(patched(head, 42, b"\xff" * 4), 30, struct.pack("<H", len(field)))
    new = data[:at] + head + data[at + 46:at + 46 + n] + field + data[at + 46 + n:]
    end = len(new) - 22
    grown = struct.unpack_from("<I", new, end + 12)[0] + len(field)
    return patched(new, end + 12, struct.pack("<I", grown))


def end64(data, **lies):
    """The same archive with a zip64 end record and its locator."""
    n, _, size, at = struct.unpack_from("<HHII", data, len(data) - 14)
    record = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, lies.get("n", n),
                         lies.get("n", n), lies.get("size", size), lies.get("at", at))
    locator = struct.pack("<IIQI", 0x07064b50, 0, lies.get("locate", len(data) - 22), 1)
    end = patched(data[-22:], 8, b"\xff" * 12)
    return data[:-22] + record + locator + end


def containers():
    """{name: (bytes, part of the message)}: what is wrong with the container."""
    good = archive(GOOD, {"0": RAMP})
    data = good.index(RAMP)
    at = entry(good, "archive/data/0")
    first = entry(good, "archive/data.pkl")
    local, = struct.unpack_from("<I", good, at + 42)
    plain = old(GOOD, {"0": (6, RAMP)})
    return {
        "no_end": (good[:-1], "cut off"),
        "trailing": (good + b"x", "cut off"),
        "two_names": (archive(GOOD, {"0": RAMP}, more=[("archive/data/0", RAMP)]), "twice"),
        "two_pickles": (archive(GOOD, {"0": RAMP}, more=[("archive/data.pkl", b"")]), "twice"),
        "leaves": (archive(GOOD, {"0": RAMP}, more=[("archive/../../x", b"")]), "leaves"),
        "absolute": (archive(GOOD, {"0": RAMP}, more=[("/etc/passwd", b"")]), "absolute"),
        "backslash": (archive(GOOD, {"0": RAMP}, more=[("archive\\x", b"")]), "backslash"),
        "compressed": (archive(GOOD, {"0": RAMP}, method=zipfile.ZIP_DEFLATED), "compressed"),
        "encrypted": (patched(good, at + 8, b"\1\0"), "encrypted"),
        "overlap": (patched(good, at + 42, good[first + 42:first + 46]), "another name"),
        "shared_bytes": (overlapping(), "overlaps"),
        "two_sizes": (patched(good, at + 20, struct.pack("<I", 23)), "two sizes"),
        "beyond": (patched(patched(good, at + 20, struct.pack("<I", 1 << 30)), at + 24,
                           struct.pack("<I", 1 << 30)), "beyond"),
        "nowhere": (patched(good, at + 42, struct.pack("<I", 1 << 30)), "not where"),
        "other_name": (patched(good, local + 30, b"b"), "another name"),
        "flipped": (patched(good, data + 5, b"\xaa"), "checksum"),
        "flipped_pickle": (good.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v1"), "checksum"),
        "fewer": (patched(good, len(good) - 14, struct.pack("<HH", 9, 9)), "fewer members"),
        "far": (patched(good, len(good) - 6, struct.pack("<I", 1 << 30)), "outside of the file"),
        "wide_lie": (wide(good, "archive/data/0", 1 << 63), "beyond"),
        "end_lie_n": (end64(good, n=1 << 60), "fewer members"),
        "end_lie_at": (end64(good, at=1 << 63), "outside of the file"),
        "end_lie_size": (end64(good, size=(1 << 64) - 1), "outside of the file"),
        "end_lie_place": (end64(good, locate=(1 << 64) - 8), "locator"),
        "no_pickle": (archive(None, {"0": RAMP}), "data.pkl"),
        "big_endian": (archive(GOOD, {"0": RAMP}, more=[("archive/byteorder", b"big")]), "endian"),
        "no_storage": (archive(GOOD, {}), "no storage of this key"),
        "short_storage": (archive(GOOD, {"0": RAMP[:-4]}), "20 bytes, 24 are wanted"),
        "old_protocol": (old(GOOD, {"0": (6, RAMP)}, protocol=1000), "1001"),
        "old_endian": (old(GOOD, {"0": (6, RAMP)}, little=FALSE), "endian"),
        "old_count": (old(GOOD, {"0": (5, RAMP)}), "another size"),
        "old_count_huge": (old(GOOD, {"0": (1 << 62, RAMP)}), "another size"),
        "old_twice": (old(GOOD, {"0": (6, RAMP)}).replace(text("0") + b"e", text("0") * 2 + b"e"),
                      "or twice"),
        "old_stranger": (old(GOOD, {"0": (6, RAMP), "1": (0, b"")}), "no tensor has"),
        "old_unlisted": (old(GOOD, {}), "no such storage"),
        "old_longer": (plain + b"x", "left behind"),
        "old_shorter": (plain[:-1], "ends within"),
    }


def overlapping():
    """A member within the data of another one."""
    inner = archive(GOOD, {"0": RAMP})
    inner = inner[:directory(inner)]
    good = archive(GOOD, {"0": RAMP}, more=[("archive/x", inner)])
    at = entry(good, "archive/data/0")
    within = good.rindex(b"archive/data/0", 0, directory(good)) - 30
    return patched(good, at + 42, struct.pack("<I", within))


def values():
    """{name: (opcodes of the value, part of the message)}: what is wrong with the pickle."""
    where = storage("0", 6)

    def state(value):
        return pairs([("ok", tensor(where, [6])), ("w", value)])

    harm = name("os", "system") + tup(text("touch harm")) + CALL
    call = name("torch._utils", "_rebuild_tensor_v2")
    nest = b"".join(DICT + text("a") for _ in range(40)) + tensor(where, [6]) + b"s" * 40
    itself = (ORDERED + b"q\0(" + text("w") + tensor(where, [6]) + text("me") + b"h\0u")
    return {
        "system": (state(harm), "'os.system'"),
        "only_system": (harm, "os.system"),
        "eval_key": (pairs([("w", tensor(where, [6])), ("x", name("builtins", "eval"))]), "eval"),
        "built": (state(harm + DICT + b"b"), "os.system"),
        "quantised": (state(call.replace(b"tensor_v2", b"qtensor") + tup(where) + CALL),
                      "_rebuild_qtensor"),
        "type": (state(tensor(storage("0", 6, "QInt8Storage"), [6])), "QInt8Storage"),
        "type_module": (state(tensor(storage("0", 6, module="os"), [6])), "os.FloatStorage"),
        "untyped": (pairs([("w", tensor(storage("0", 24, "UntypedStorage", "torch.storage"), [6]))]),
                    "element type"),
        "too_long": (state(tensor(where, [7])), "element 6 of a storage that has 6"),
        "offset": (state(tensor(where, [2], offset=5)), "element 6"),
        "offset_huge": (state(tensor(where, [2], offset=2 ** 63 - 1)), "element"),
        "offset_long": (state(tensor(where, [2], offset=2 ** 64)), "something else than a storage"),
        "stride": (state(tensor(where, [3], [3])), "element 6"),
        "stride_huge": (state(tensor(where, [3, 3], [2 ** 62, 2 ** 62])), "overflows"),
        "stride_negative": (state(tensor(where, [3], [-1])), "from 0 on"),
        "size_negative": (state(tensor(where, [-3])), "from 0 on"),
        "size_huge": (state(tensor(where, [2 ** 62, 2 ** 62], [0, 0])), "overflows"),
        "bomb": (state(tensor(where, [2 ** 40], [0])), "16 times"),
        "bombs": (pairs([(f"w{i}", tensor(where, [2 ** 21], [0])) for i in range(20)]), "16 times"),
        "rank": (state(tensor(where, [1] * 9)), "rank 9"),
        "rank_differs": (state(tensor(where, [6], [1, 1])), "1 sizes, but 2 strides"),
        "storage_huge": (state(tensor(storage("0", 2 ** 62), [6])), "larger than the file"),
        "storage_negative": (state(tensor(storage("0", -6), [6])), "no storage"),
        "storage_path": (state(tensor(storage("../x", 6), [6])), "no storage of this key"),
        "storage_zero": (state(tensor(storage("0\0", 6), [6])), "no number"),
        "id": (state(tensor(number(7) + b"Q", [6])), "no storage"),
        "no_id": (state(tensor(number(7), [6])), "something else than a storage"),
        "few_arguments": (state(call + tup(where) + CALL), "something else than a storage"),
        "parameter": (state(b"".join([name("torch._utils", "_rebuild_parameter") + b"("
                                      for _ in range(20)]) + tensor(where, [6]) + b"tR" * 20),
                      "within parameters"),
        "deep": (state(nest), "deep"),
        "itself": (itself, "deep"),
        "twice": (pairs([("w", tensor(where, [6])), ("w", tensor(where, [6]))]), "two tensors"),
        "zero_name": (pairs([(b"w\0x", tensor(where, [6]))]), "no name"),
        "no_text": (pairs([(b"w\xff", tensor(where, [6]))]), "no name"),
        "tuple_key": (ORDERED + b"(" + tup() + tensor(where, [6]) + b"u", "no name"),
        "empty": (pairs([]), "no dict of tensors"),
        "none": (NONE, "no dict of tensors"),
        "list": (b"](" + tensor(where, [6]) + b"e", "no dict of tensors"),
        "memo": (b"h\7", "no such entry"),
        "memo_huge": (NONE + b"r\xff\xff\xff\xff", "memo"),
        "underflow": (b"0" + NONE, "too few values"),
        "mark": (b"t", "no mark"),
        "below_mark": (NONE + b"(R", "too few values"),
        "odd_items": (DICT + b"(" + NONE + b"u", "key without a value"),
        "into_none": (NONE + b"(" + NONE + NONE + b"u", "no dict"),
        "into_nothing": (b"(" + NONE + b"e", "nothing to put"),
        "two_values": (NONE + NONE, "more than one"),
        "opcode": (b"\xff", "opcode 0xff"),
        "text_protocol": (b"I1\n", "opcode 0x49"),
        "extension": (b"\x82\1", "opcode 0x82"),
        "buffer": (b"\x97", "opcode 0x97"),
        "protocol": (b"\x80\6", "protocols 2 to 5"),
        "text_beyond": (b"X\xff\xff\xff\xff", "ends within"),
        "text_beyond8": (b"\x8d" + b"\xff" * 8, "ends within"),
        "global_beyond": (b"cos", "ends within a name"),
        "global_no_text": (b"cos\n\xff\n", "no text"),
        "arguments": (name("os", "system") + NONE + CALL, "no tuple"),
    }


def old_of(value):
    """The old format around a value, with the storage that it refers to, if it does."""
    n = 24 if b"UntypedStorage" in value else 6
    return old(value, {"0": (n, RAMP)} if b"Storage" in value else {})


def main(folder):
    for key, (data, _) in containers().items():
        with open(os.path.join(folder, f"container_{key}"), "wb") as f:
            f.write(data)
    for key, (value, _) in values().items():
        with open(os.path.join(folder, f"value_{key}"), "wb") as f:
            f.write(old_of(value))
    good = archive(GOOD, {"0": RAMP})
    for key, data in (("good_wide", wide(good, "archive/data/0")), ("good_end64", end64(good))):
        with open(os.path.join(folder, key), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main(sys.argv[1])
