"""Models and their weights."""
import os
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping as Dictionary, Optional, Tuple, Union

import numpy as np

from . import _library as c
from . import arrays, handles
from ._library import lib
from .context import Context, context_of, path, text

Path = Union[str, "os.PathLike[str]"]
#: What weights may be: a path, or names with arrays or tensors.
WeightsLike = Union[Path, Dictionary[str, Any]]
Settings = Union[Dictionary[str, Any], Iterable[str], None]

_PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Value:
    """A value of the network; `shape` is that of one frame."""
    name: Optional[str]
    op: str
    recorded: bool
    shape: Tuple[int, ...]
    timesteps: int


class Weights(handles.Handle):
    """Named arrays as the library keeps them: a copy of a state dict, or the tensors of a file.

    A prefix "module." or "_orig_mod." that all names have is taken off, as it is of checkpoints."""
    _destroy = lib.spk_weights_destroy

    def __init__(self, source: WeightsLike, ema: bool = False, context: Optional[Context] = None):
        context = context_of(context)
        if isinstance(source, (str, os.PathLike)):
            super().__init__(handles.new(context, lib.spk_weights_load, path(source), ema))
            return
        super().__init__(handles.new(context, lib.spk_weights_create))
        items = dict(source)
        for prefix in _PREFIXES:
            if items and all(name.startswith(prefix) for name in items):
                items = {name[len(prefix):]: value for name, value in items.items()}
        for name, value in items.items():
            raw, _array = arrays.tensor(value, name)
            context.call(lib.spk_weights_add, self, raw)

    def __len__(self) -> int:
        return lib.spk_weights_count(self)

    def arrays(self) -> Dict[str, np.ndarray]:
        """{name: read-only array}; bfloat16 as uint16."""
        found = {}
        for i in range(len(self)):
            raw = c.Tensor()
            lib.spk_weights_at(self, i, raw)
            found[text(raw.name)] = arrays.view(raw, self)
        return found

    def save(self, file: Path, context: Optional[Context] = None) -> None:
        """Writes .safetensors, or a PyTorch checkpoint (.pth, .pt, .pth.tar)."""
        context_of(context).call(lib.spk_weights_save, self, path(file))


class Model(handles.Handle):
    """A network: load_model, parse_model."""
    _destroy = lib.spk_model_destroy

    @property
    def info(self) -> Dict[str, Any]:
        """dict: name, stage, timesteps, classes, n_values, n_parameters, n_ignored, has_weights, framed,
        normalised, channels, height, width (of the input)."""
        raw = c.ModelInfo()
        lib.spk_model_describe(self, raw)
        return handles.members(raw)

    @property
    def name(self) -> str:
        return self.info["name"]

    @property
    def input_shape(self) -> Tuple[int, ...]:
        """Of one image: (C, H, W), or (T, C, H, W) where the model takes a frame per step."""
        info = self.info
        frame = (info["channels"], info["height"], info["width"])
        return (info["timesteps"], *frame) if info["framed"] else frame

    @property
    def values(self) -> List[Value]:
        """The values of the network in the order in which they are computed."""
        found = []
        for i in range(self.info["n_values"]):
            raw = c.Value()
            lib.spk_model_value(self, i, raw)
            found.append(Value(text(raw.name), text(raw.op), raw.recorded, tuple(raw.shape[:raw.rank]),
                               raw.timesteps))
        return found

    @property
    def parameter_shapes(self) -> Dict[str, Tuple[int, ...]]:
        """{name: shape} of what the model wants of a state dict."""
        return {name: shape for name, shape, _ in self._parameters()}

    @property
    def parameters(self) -> Dict[str, np.ndarray]:
        """{name: read-only array}, of those that have data."""
        return {name: array for name, _, array in self._parameters() if array is not None}

    def _parameters(self):
        for i in range(self.info["n_parameters"]):
            raw = c.Tensor()
            lib.spk_model_parameter(self, i, raw)
            yield text(raw.name), tuple(raw.shape[:raw.rank]), arrays.view(raw, self)

    @property
    def ignored(self) -> List[str]:
        """Tensors of the weights that the model did not ask for."""
        return [text(lib.spk_model_ignored(self, i)) for i in range(self.info["n_ignored"])]

    def with_weights(self, weights: Union[WeightsLike, Weights], ema: bool = False,
                     context: Optional[Context] = None) -> "Model":
        """The model with other weights: a state dict (name to array or tensor), Weights, or the path of a
        safetensors file or checkpoint (`ema`: its averaged copy). What is missing or misshapen is told
        at once, in an InputError."""
        context = context_of(context)
        if not isinstance(weights, Weights):
            weights = Weights(weights, ema, context)
        return Model(handles.new(context, lib.spk_model_with_weights, self, weights))

    def run_passes(self, passes: str, target=None, context: Optional[Context] = None) -> "Model":
        """The model after a pipeline of passes, "a,b{x=1}" (docs/passes.md)."""
        from .mapping import load_target
        context = context_of(context)
        target = load_target(target, context) if target is not None else None
        return Model(handles.new(context, lib.spk_model_run_passes, self, passes.encode(),
                                 target))

    def sir(self, context: Optional[Context] = None) -> str:
        """The network as text (docs/ir.md)."""
        return handles.result(context_of(context), lib.spk_model_print, self).text

    def session(self, engine: Optional[str] = None, target_cpu: Optional[str] = None,
                context: Optional[Context] = None) -> handles.Session:
        """Made ready for many runs. engine: "reference" (default), "packed", "native"."""
        options = handles.session_options(None, engine, target_cpu)
        return handles.Session(handles.new(context_of(context), lib.spk_session_create, self,
                                           options))

    def run(self, images, record: Union[Iterable[str], bool] = (), engine: Optional[str] = None,
            context: Optional[Context] = None) -> handles.Outputs:
        """One batch at level R: see Session.run."""
        return self.session(engine, context=context).run(images, record, context)

    def compile(self, target, context: Optional[Context] = None, **options):
        """See spikec.compile."""
        from .mapping import compile as compile_model
        return compile_model(self, target, context=context, **options)


def pairs(values):
    """{"dim": 64} or ["dim=64"] as texts NAME=VALUE."""
    if not hasattr(values, "items"):
        return list(values or ())
    return [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in values.items()]


def _options(name, weights, settings, bind, ema, dt):
    set_texts, n_settings = arrays.texts(pairs(settings))
    bind_texts, n_binds = arrays.texts(pairs(bind))
    if weights is False:
        weights = ""
    return c.ModelOptions(path(name), path(weights), ema, set_texts, n_settings, bind_texts, n_binds, dt)


def load_model(model: Path, weights: Union[WeightsLike, Weights, bool, None] = None,
               settings: Settings = None, bind: Settings = None, ema: bool = False, dt: float = 0.0,
               context: Optional[Context] = None) -> Model:
    """Loads a description (.spk, NIR, netx) by path, or a model of the zoo by name.

    weights: a path, a state dict, or False for none; by default those that the description ships.
    settings: {"dim": 384, "timesteps": 2}, the parameters of the description.
    bind: {"from": "to"}, names of a checkpoint that are others than the model's.
    ema: of a checkpoint the copy averaged over training. dt: of a NIR graph, seconds.
    """
    named = weights is None or weights is False or isinstance(weights, (str, os.PathLike))
    options = _options(model, weights if named else False, settings, bind, ema, dt)
    loaded = Model(handles.new(context_of(context), lib.spk_model_load, options))
    return loaded if named else loaded.with_weights(weights, ema, context)


def parse_model(source: str, name: Path = "model.spk",
                weights: Union[WeightsLike, Weights, bool, None] = None, settings: Settings = None,
                bind: Settings = None, ema: bool = False, context: Optional[Context] = None) -> Model:
    """A model from the text of a description. `name` stands in messages for its path, and imports are
    looked up in its folder. The rest as of load_model."""
    named = weights is None or weights is False or isinstance(weights, (str, os.PathLike))
    options = _options(None, weights if named else False, settings, bind, ema, 0.0)
    raw = source.encode()
    loaded = Model(handles.new(context_of(context), lib.spk_model_parse, path(name), raw, len(raw), options))
    return loaded if named else loaded.with_weights(weights, ema, context)
