"""NumPy arrays, and tensors of PyTorch and others, to arrays of the library and back."""
import ctypes

import numpy as np

from . import _library as c
from .errors import UsageError

#: NumPy types by the library's numbers; 6 is bfloat16, which NumPy has not.
DTYPES = {0: "?", 1: "u1", 2: "i1", 3: "<i2", 4: "<u2", 5: "<f2", 7: "<i4", 8: "<u4", 9: "<f4", 10: "<f8",
          11: "<i8", 12: "<u8"}
_NUMBERS = {np.dtype(v): k for k, v in DTYPES.items()}


def as_array(value):
    """A NumPy array of anything that has one; a tensor of PyTorch wherever it lies. bfloat16 becomes
    float32, which holds it exactly."""
    if hasattr(value, "detach"):
        value = value.detach()
        if hasattr(value, "cpu"):
            value = value.cpu()
        try:
            value = value.numpy()
        except TypeError:
            value = value.float().numpy()
    return np.asarray(value)


def tensor(value, name=None):
    """(struct, array): the struct points into the array, which must outlive it."""
    array = as_array(value)
    array = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    number = _NUMBERS.get(array.dtype)
    if number is None or array.ndim > c.MAX_RANK:
        raise UsageError(2, f"array {name or ''}: type {array.dtype} and rank {array.ndim}; the library "
                         f"takes numbers and bool, rank up to {c.MAX_RANK}", [])
    shape = (ctypes.c_uint64 * c.MAX_RANK)(*array.shape)
    return c.Tensor(name=None if name is None else name.encode(), dtype=number, rank=array.ndim,
                    shape=shape, data=array.ctypes.data or 1, size=array.nbytes), array


def view(raw, owner, writeable=False):
    """The array behind a struct, in place; it keeps `owner` alive. None where there is no data."""
    if not raw.data:
        return None
    shape = tuple(raw.shape[:raw.rank])
    if raw.size == 0:
        return np.empty(shape, _dtype(raw))
    buffer = (ctypes.c_char * raw.size).from_address(raw.data)
    buffer.owner = owner
    array = np.frombuffer(buffer, dtype=_dtype(raw)).reshape(shape)
    array.flags.writeable = writeable
    return array


def _dtype(raw):
    return np.dtype("<u2" if raw.dtype == 6 else DTYPES[raw.dtype])


def texts(values):
    """(array of char pointers, count); the array keeps the texts."""
    encoded = [v.encode() for v in values]
    return (ctypes.c_char_p * max(len(encoded), 1))(*encoded), len(encoded)
