"""Chips, and networks compiled for them."""
import ctypes
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

import numpy as np

from . import _library as c
from . import arrays, handles
from ._library import lib
from .context import Context, context_of, encoded, path
from .networks import Model, Path, Settings, pairs


class Target(handles.Handle):
    """A chip, as data: load_target."""
    _destroy = lib.spk_target_destroy

    @property
    def info(self) -> Dict[str, Any]:
        """dict: name, description, path, cores_per_chip, n_systems, n_facts."""
        raw = c.TargetInfo()
        lib.spk_target_describe(self, raw)
        return handles.members(raw)

    @property
    def name(self) -> str:
        return self.info["name"]

    @property
    def systems(self) -> np.ndarray:
        """Chips in a grid, the smallest first: a structured array."""
        return handles.table(c.System, lib.spk_target_system, self, self.info["n_systems"])

    @property
    def facts(self) -> np.ndarray:
        """Every published constant with unit, basis and source: a structured array; value is NaN where
        the text is no number."""
        return handles.table(c.Fact, lib.spk_target_fact, self, self.info["n_facts"])

    def fact(self, section: str, key: str) -> Optional[Dict[str, Any]]:
        """A constant as a dict; None where nobody published it."""
        raw = c.Fact()
        status = lib.spk_target_find(self, section.encode(), key.encode(), raw)
        return handles.members(raw) if status == 0 else None


    def vary(self, constants: Settings, context: Optional[Context] = None) -> "Target":
        """The target with other constants, {"limits.neurons": 512}, for experiments; their basis and source
        say so."""
        texts, count = arrays.texts(pairs(constants))
        return Target(handles.new(context_of(context), lib.spk_target_vary, self, texts, count))


class Mapping(handles.Handle):
    """A network compiled for a chip: compile, load_mapping."""
    _destroy = lib.spk_mapping_destroy

    @property
    def info(self) -> Dict[str, Any]:
        """dict: target, system, n_cores, n_layers, n_tiles, timesteps, classes, interval and latency
        (steps), neurons, synapses."""
        raw = c.MappingInfo()
        lib.spk_mapping_describe(self, raw)
        return handles.members(raw)

    @property
    def cores(self) -> np.ndarray:
        """Place, use and limits of every core: a structured array. A limit of 2**64 - 1: the target
        states none."""
        return handles.table(c.Core, lib.spk_mapping_core, self, self.info["n_cores"])

    @property
    def layers(self) -> np.ndarray:
        """Every layer with the sums over its tiles: a structured array."""
        return handles.table(c.Layer, lib.spk_mapping_layer, self, self.info["n_layers"])

    @property
    def tiles(self) -> np.ndarray:
        """Which block of which layer lies on which core: a structured array."""
        return handles.table(c.Tile, lib.spk_mapping_tile, self, self.info["n_tiles"])

    def order(self, layer: int) -> np.ndarray:
        """The model's channel of each channel of a layer: tiles count channels in this order."""
        raw = c.Layer()
        if lib.spk_mapping_layer(self, layer, raw) != 0:
            raise IndexError(f"the mapping has no layer {layer}")
        return np.array(raw.order[:raw.channels] if raw.order else range(raw.channels), dtype=np.uint32)

    def cost(self, max_cores: int = 16, context: Optional[Context] = None) -> handles.Result:
        """Expected costs (docs/files.md, cost.json); `text` is a table with max_cores cores."""
        return handles.result(context_of(context), lib.spk_mapping_cost, self, max_cores)

    def check(self, context: Optional[Context] = None) -> handles.Result:
        """The independent check of the image; `status` 1 and "violations" where something is wrong."""
        return handles.result(context_of(context), lib.spk_mapping_check, self, allow=(1,))

    def save(self, folder: Path, context: Optional[Context] = None) -> None:
        """Writes the compiled folder, replacing one that is there in one step."""
        context_of(context).call(lib.spk_mapping_save, self, path(folder))

    def session(self, level: str = "M", engine: Optional[str] = None, target_cpu: Optional[str] = None,
                context: Optional[Context] = None) -> handles.Session:
        """Made ready for many runs: level "M" is the chip image in the simulator, "Q" its integers and
        "R" the float model in an engine."""
        options = handles.session_options(level, engine, target_cpu)
        handle = handles.new(context_of(context), lib.spk_session_create_mapped, self, options)
        return handles.Session(handle, self.info["n_cores"] if level == "M" else 0)

    def run(self, images, level: str = "Q", record: Union[Iterable[str], bool] = (),
            engine: Optional[str] = None, context: Optional[Context] = None) -> handles.Outputs:
        """One batch at a level: see Session.run."""
        return self.session(level, engine, context=context).run(images, record, context)

    def simulate(self, images, record: Union[Iterable[str], bool] = (),
                 context: Optional[Context] = None) -> Tuple[handles.Outputs, handles.Result]:
        """(Outputs, cost): a batch through the chip simulator, and what it cost per image."""
        session = self.session("M", context=context)
        return session.run(images, record, context), session.cost(context)

    def verify(self, images, labels=None, engine: Optional[str] = None,
               context: Optional[Context] = None) -> handles.Result:
        """Levels R, Q and M on the same images, compared (docs/files.md, verify.json); `status` is 1
        where the mapped network differs from the quantised one."""
        raw, _kept = handles.batch(images, labels=labels)
        options = handles.session_options(None, engine, None)
        return handles.result(context_of(context), lib.spk_mapping_verify, self, raw, options,
                              allow=(1,))


def load_target(target: Union[Path, Target], context: Optional[Context] = None) -> Target:
    """A target by path or name; a Target is handed through."""
    if isinstance(target, Target):
        return target
    return Target(handles.new(context_of(context), lib.spk_target_load, path(target)))


def parse_target(source: str, name: Path = "target.yaml", context: Optional[Context] = None) -> Target:
    """A target from the text of a description (docs/targets.md)."""
    raw = source.encode()
    return Target(handles.new(context_of(context), lib.spk_target_parse, path(name), raw, len(raw)))


def _options(calibrate=None, attention=None, schedule=None, objective=None, cut=None, system=None, placer=None,
             rates=None, constraints=None, seed=0, separate_cores=False, remarks=False):
    raw = c.MappingOptions(attention=encoded(attention), schedule=encoded(schedule),
                           objective=encoded(objective), cut=encoded(cut), system=encoded(system), placer=encoded(placer),
                           rates=path(rates), constraints=path(constraints), seed=seed, separate_cores=separate_cores, remarks=remarks)
    kept = None
    if calibrate is not None:
        kept = arrays.tensor(calibrate)
        raw.calibrate = ctypes.pointer(kept[0])
    return raw, kept


def compile(model: Model, target: Union[Path, Target], context: Optional[Context] = None,
            **options) -> Mapping:
    """Compiles a model with weights for a target (name, path or Target). Returns a Mapping.

    Options, as of the command `compile` (docs/commands.md): calibrate (images, as of a run), attention,
    schedule, objective, cut, system, placer, rates and constraints (files), seed, separate_cores,
    remarks.
    DoesNotFit tells layer, resource, need and have, and what would fit.
    """
    context = context_of(context)
    raw, _kept = _options(**options)
    return Mapping(handles.new(context, lib.spk_mapping_compile, model,
                               load_target(target, context), raw))


def estimate(model: Model, target: Union[Path, Target], context: Optional[Context] = None,
             **options) -> handles.Result:
    """Cores of a model on a target, weights not needed: as of the command `estimate`. "fits" tells
    whether it fits; the reason is in Context.diagnostics. Options as of compile."""
    context = context_of(context)
    raw, _kept = _options(**options)
    return handles.result(context, lib.spk_mapping_estimate, model,
                          load_target(target, context), raw, allow=(4,))


def load_mapping(folder: Path, context: Optional[Context] = None) -> Mapping:
    """A folder that `compile` made."""
    return Mapping(handles.new(context_of(context), lib.spk_mapping_load, path(folder)))


def report(folder: Path, output: Path, spikes: Optional[Path] = None,
           context: Optional[Context] = None, probes: Optional[Path] = None) -> handles.Result:
    """A compiled folder as one HTML page. spikes, probes: files of the commands' --spikes and
    --probe-out."""
    options = c.ReportOptions(path(folder), path(output), path(spikes), path(probes))
    return handles.result(context_of(context), lib.spk_report, options)


def targets(context: Optional[Context] = None) -> List[str]:
    """Names of the targets that come with spikec."""
    return handles.result(context_of(context), lib.spk_target_list)["targets"]


def models(context: Optional[Context] = None) -> List[str]:
    """Names of the models of the zoo."""
    return handles.result(context_of(context), lib.spk_model_list)["models"]
