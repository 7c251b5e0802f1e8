"""spikec: compiler and mapper for neuromorphic hardware.

    import spikec
    model = spikec.load_model("net.spk").with_weights(torch_module.state_dict())
    mapping = model.compile("loihi2", calibrate=images)
    outputs, cost = mapping.simulate(images)

Arrays in are NumPy arrays or anything that NumPy makes arrays of (tensors of PyTorch included, which is
not imported); arrays out are NumPy arrays. Failures are exceptions with diagnostics as data.
docs/python.md is the manual, docs/library.md that of the C library underneath.
"""
from ._library import lib as _lib
from .context import Context
from .errors import (Cancelled, Diagnostic, DoesNotFit, FileError, InputError, InternalError, SpikecError,
                     SpikecWarning, UsageError)
from .handles import Outputs, Result, Session
from .mapping import (Mapping, Target, compile, estimate, load_mapping, load_target, models,
                      parse_target, report, targets)
from .networks import Model, Value, Weights, load_model, parse_model

__version__ = _lib.spk_version().decode()
__all__ = ["Cancelled", "Context", "Diagnostic", "DoesNotFit", "FileError", "InputError", "InternalError",
           "Mapping", "Model", "Outputs", "Result", "Session", "SpikecError", "SpikecWarning", "Target",
           "UsageError", "Value", "Weights", "compile", "estimate", "load_mapping", "load_model",
           "load_target", "models", "parse_model", "parse_target", "report", "targets"]


def build_facts():
    """How the library was built: {what: how}."""
    lines = _lib.spk_build_facts().decode().splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)
