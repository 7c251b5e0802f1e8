"""What all objects have in common: a handle that is given back, results, tables."""
import ctypes
import json
from typing import Dict, Iterable, Optional, Union

import numpy as np

from . import _library as c
from . import arrays
from ._library import lib
from .context import Context, context_of, encoded, text


class Handle:
    """Owns an object of the library. It is itself what calls take, so that it lives as long as they do."""
    _destroy = None

    def __init__(self, handle):
        self._as_parameter_ = handle

    def __del__(self):
        handle = getattr(self, "_as_parameter_", None)
        if handle is not None:
            type(self)._destroy(handle)


class Result(dict):
    """The JSON result of a call (docs/files.md), as a dict. `text` is the same for people; `status` is 0,
    or 1 where verify or check found a difference, or 4 where an estimate does not fit."""

    text: str
    status: int

    def __init__(self, members, readable, status):
        super().__init__(members)
        self.text = readable
        self.status = status


def new(context, function, *arguments):
    """The handle that a call makes in its last argument."""
    handle = ctypes.c_void_p()
    context.call(function, *arguments, handle)
    return handle


def result(context, function, *arguments, allow=()):
    """The Result that a call makes in its last argument."""
    handle = ctypes.c_void_p()
    status = context.call(function, *arguments, handle, allow=allow)
    try:
        return Result(json.loads(lib.spk_result_json(handle) or b"{}"),
                      text(lib.spk_result_text(handle)), status)
    finally:
        lib.spk_result_free(handle)


def members(raw):
    """A struct as a dict, texts decoded."""
    found = {}
    for name, kind in raw._fields_[1:]:
        value = getattr(raw, name)
        found[name] = text(value) if kind is ctypes.c_char_p else value
    return found


_KINDS = {ctypes.c_uint32: "u4", ctypes.c_uint64: "u8", ctypes.c_bool: "?", ctypes.c_double: "f8",
          ctypes.c_char_p: "O"}


def table(struct, function, handle, count):
    """Rows 0 .. count - 1 as a structured array with the struct's members."""
    names = [(name, _KINDS[kind]) for name, kind in struct._fields_[1:] if kind in _KINDS]
    rows = np.empty(count, dtype=names)
    raw = struct()
    for i in range(count):
        function(handle, i, raw)
        rows[i] = tuple(text(v) if isinstance(v, bytes) else v
                        for v in (getattr(raw, name) for name, _ in names))
    return rows


def batch(images, record=(), labels=None):
    """(struct, what it points into). record: names, or True for all."""
    raw = c.Batch()
    image_struct, image_array = arrays.tensor(images)
    raw.input = ctypes.pointer(image_struct)
    names, labels_array = None, None
    if record is True:
        raw.record_all = True
    else:
        names, raw.n_record = arrays.texts(record or ())
        raw.record = names
    if labels is not None:
        labels_array = arrays.as_array(labels)
        if labels_array.ndim != 1 or labels_array.dtype.kind not in "iu" or (labels_array < 0).any():
            raise ValueError("labels are whole numbers from 0, one per image")
        labels_array = np.ascontiguousarray(labels_array, dtype=np.uint32)
        raw.labels = labels_array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
        raw.n_labels = len(labels_array)
    return raw, (image_struct, image_array, names, labels_array)


def session_options(level, engine, target_cpu):
    return c.SessionOptions(level=encoded(level), engine=encoded(engine), target_cpu=encoded(target_cpu))


class Outputs:
    """What a run gave.

    logits: float32 [images, classes]
    spikes: {name: uint8 or int32 [T, images, axes of a frame]} of the values that were recorded
    """

    logits: np.ndarray
    spikes: Dict[str, np.ndarray]

    def __init__(self, handle):
        owner = _OutputsHandle(handle)
        raw = c.Tensor()
        lib.spk_outputs_logits(handle, raw)
        self.logits = arrays.view(raw, owner, writeable=True)
        self.spikes = {}
        for i in range(lib.spk_outputs_count(handle)):
            raw = c.Tensor()
            lib.spk_outputs_at(handle, i, raw)
            self.spikes[text(raw.name)] = arrays.view(raw, owner, writeable=True)

    @property
    def classes(self) -> np.ndarray:
        """The class of each image: the first of the largest logits."""
        return self.logits.argmax(axis=1)


class _OutputsHandle(Handle):
    _destroy = lib.spk_outputs_destroy


class Session(Handle):
    """A model or a mapping made ready to run batches (Model.session, Mapping.session)."""
    _destroy = lib.spk_session_destroy

    def __init__(self, handle, n_cores=0):
        super().__init__(handle)
        self._n_cores = n_cores

    def run(self, images, record: Union[Iterable[str], bool] = (),
            context: Optional[Context] = None) -> Outputs:
        """Runs a batch [B,C,H,W], or [B,T,C,H,W] where the model takes frames. record: names of values
        whose spikes are wanted, or True for all. Returns Outputs."""
        raw, _kept = batch(images, record)
        return Outputs(new(context_of(context), lib.spk_session_run, self, raw))

    def cost(self, context: Optional[Context] = None) -> Result:
        """Level M: what the last run cost, per image (docs/files.md, cost.json)."""
        return result(context_of(context), lib.spk_session_cost, self)

    def activity(self) -> np.ndarray:
        """Level M: events, energy (pJ) and busy time (ns) of every core in the last run, over all its
        images: a structured array."""
        raw = c.CoreActivity()
        if self._n_cores == 0 or lib.spk_session_core_activity(self, 0, raw) != 0:
            raise ValueError("activity is that of a run at level M, and there was none")
        return table(c.CoreActivity, lib.spk_session_core_activity, self, self._n_cores)
