"""Reading and writing safetensors files: 8-byte length, JSON header, raw little-endian data."""

import json
import struct

import numpy as np

DTYPES = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "U8": np.dtype("u1"), "I64": np.dtype("<i8")}


def save(path, tensors, metadata):
    """Write {name: numpy array} with string metadata. The bytes depend on the contents alone."""
    names = {d: n for n, d in DTYPES.items()}
    header, blobs, offset = {"__metadata__": {k: str(metadata[k]) for k in sorted(metadata)}}, [], 0
    # Wider types first, then by name: every tensor stays aligned to its own size.
    for name in sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n)):
        a = np.ascontiguousarray(tensors[name])
        blob = a.tobytes()
        header[name] = {"dtype": names[a.dtype], "shape": list(a.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load(path):
    """({name: numpy array}, metadata) of a safetensors file."""
    with open(path, "rb") as f:
        raw = f.read()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(raw[8 + length + begin : 8 + length + end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata
