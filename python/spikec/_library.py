"""The C library: where it lies, its structs and its calls (include/spikec/spikec.h, objects.h)."""
import ctypes
import glob
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_size_t, c_uint32,
                    c_uint64, c_void_p)

SONAME = "libspikec.so.0.1"
MAX_RANK = 8


def candidates():
    """Files that may be the library, best first: $SPIKEC_LIBRARY alone where it is set; of a source tree
    its builds; of an installed module (PREFIX/lib/python3/dist-packages/spikec) PREFIX; then where the
    system looks."""
    given = os.environ.get("SPIKEC_LIBRARY")
    if given:
        return [given]
    here = os.path.dirname(os.path.realpath(__file__))
    source = os.path.dirname(os.path.dirname(here))
    prefix = os.path.dirname(os.path.dirname(source))
    if os.path.isfile(os.path.join(source, "include", "spikec", "spikec.h")):
        found = [os.path.join(source, "build", preset, SONAME) for preset in ("release", "ci", "debug")]
    else:
        found = sorted(glob.glob(os.path.join(prefix, "lib*", SONAME)) +
                       glob.glob(os.path.join(prefix, "lib", "*", SONAME)))
    return [f for f in found if os.path.isfile(f)] + [SONAME]


def load():
    """The library with all its calls declared."""
    tried = []
    for file in candidates():
        try:
            found = ctypes.CDLL(file)
            for name, (kind, *arguments) in CALLS.items():
                call = getattr(found, name)
                call.restype, call.argtypes = kind, arguments
            return found
        except (OSError, AttributeError) as error:
            tried.append(f"  {file}: {error}")
    raise ImportError(f"the library {SONAME} of spikec was not found; name its file in $SPIKEC_LIBRARY\n" +
                      "\n".join(tried))


# ---- structs ----

class Sized(Structure):
    """A struct that begins with its own size."""

    def __init__(self, **members):
        super().__init__(**members)
        self.struct_size = ctypes.sizeof(self)


def sized(name, *members):
    """A struct class; a member is (name, type)."""
    return type(name, (Sized,), {"_fields_": [("struct_size", c_size_t), *members], "__doc__": name})


def of(kind, names):
    return [(n, kind) for n in names.split()]


PROGRESS = CFUNCTYPE(None, c_void_p, c_char_p, c_uint64, c_uint64)
CANCELLED = CFUNCTYPE(c_bool, c_void_p)


class ContextOptions(Structure):
    _fields_ = [("threads", c_uint32), ("progress", PROGRESS), ("cancelled", CANCELLED),
                ("user", c_void_p), ("time_limit", c_double)]


class ModelOptions(Structure):
    _fields_ = [("model", c_char_p), ("weights", c_char_p), ("ema", c_bool),
                ("settings", POINTER(c_char_p)), ("n_settings", c_size_t),
                ("binds", POINTER(c_char_p)), ("n_binds", c_size_t), ("dt", c_double)]


class ReportOptions(Structure):
    _fields_ = [("folder", c_char_p), ("output", c_char_p), ("spikes", c_char_p),
                ("probes", c_char_p)]


Diagnostic = sized("spk_diagnostic", ("severity", c_int), *of(c_char_p, "code message help file"),
                   *of(c_uint32, "line column end_line end_column n_notes"))
Tensor = sized("spk_tensor", ("name", c_char_p), ("dtype", c_int), ("rank", c_uint32),
               ("shape", c_uint64 * MAX_RANK), ("data", c_void_p), ("size", c_uint64))
ModelInfo = sized("spk_model_info", *of(c_char_p, "name stage"),
                  *of(c_uint32, "timesteps classes n_values n_parameters n_ignored"),
                  *of(c_bool, "has_weights framed normalised"), *of(c_uint32, "channels height width"))
Value = sized("spk_value", *of(c_char_p, "name op"), ("recorded", c_bool), ("rank", c_uint32),
              ("shape", c_uint32 * 3), ("timesteps", c_uint32))
TargetInfo = sized("spk_target_info", *of(c_char_p, "name description path"),
                   *of(c_uint32, "cores_per_chip n_systems n_facts"))
System = sized("spk_system", ("name", c_char_p), *of(c_uint32, "chips_x chips_y"))
Fact = sized("spk_fact", *of(c_char_p, "section key unit text"), ("value", c_double),
             *of(c_char_p, "basis source"))
MappingOptions = sized("spk_mapping_options",
                       *of(c_char_p, "attention schedule objective cut system placer rates constraints"),
                       ("seed", c_uint64), *of(c_bool, "separate_cores remarks"),
                       ("calibrate", POINTER(Tensor)))
MappingInfo = sized("spk_mapping_info", *of(c_char_p, "target system"),
                    *of(c_uint32, "n_cores n_layers n_tiles timesteps classes interval latency"),
                    *of(c_uint64, "neurons synapses"))
Core = sized("spk_core", *of(c_uint32, "chip x y"), ("engine", c_bool), *of(c_uint32, "first_tile n_tiles"),
             *of(c_uint64, "neurons neurons_limit in_axons in_axons_limit out_axons out_axons_limit "
                           "synapse_bits synapse_bits_limit synapses"))
Tile = sized("spk_tile", *of(c_uint32, "core layer c0 y0 x0 nc ny nx"))
Layer = sized("spk_layer", *of(c_char_p, "name kind"),
              *of(c_uint32, "channels height width start n_tiles"),
              *of(c_uint64, "neurons in_axons out_axons synapse_bits synapses"),
              ("order", POINTER(c_uint32)))
Batch = sized("spk_batch", ("input", POINTER(Tensor)), ("record", POINTER(c_char_p)), ("n_record", c_size_t),
              ("record_all", c_bool), ("labels", POINTER(c_uint32)), ("n_labels", c_size_t))
SessionOptions = sized("spk_session_options", *of(c_char_p, "level engine target_cpu"))
CoreActivity = sized("spk_core_activity",
                     *of(c_uint64, "synaptic_events neuron_updates spikes_out messages_out messages_in hops"),
                     *of(c_double, "energy_pj busy_ns"))
STRUCTS = (Diagnostic, Tensor, ModelInfo, Value, TargetInfo, System, Fact, MappingOptions, MappingInfo, Core,
           Tile, Layer, Batch, SessionOptions, CoreActivity)

# ---- calls: name, result, arguments; P is a handle or an array behind a pointer ----

P = c_void_p
CALLS = {
    "spk_version": (c_char_p,),
    "spk_build_facts": (c_char_p,),
    "spk_context_create": (c_int, POINTER(ContextOptions), POINTER(P)),
    "spk_context_destroy": (None, P),
    "spk_context_diagnostics": (c_char_p, P),
    "spk_context_diagnostic_count": (c_size_t, P),
    "spk_context_diagnostic": (c_int, P, c_size_t, POINTER(Diagnostic)),
    "spk_context_diagnostic_note": (c_int, P, c_size_t, c_uint32, POINTER(Diagnostic)),
    "spk_result_json": (c_char_p, P),
    "spk_result_text": (c_char_p, P),
    "spk_result_free": (None, P),
    "spk_report": (c_int, P, POINTER(ReportOptions), POINTER(P)),
    "spk_target_list": (c_int, P, POINTER(P)),
    "spk_model_list": (c_int, P, POINTER(P)),
    "spk_weights_create": (c_int, P, POINTER(P)),
    "spk_weights_load": (c_int, P, c_char_p, c_bool, POINTER(P)),
    "spk_weights_add": (c_int, P, P, POINTER(Tensor)),
    "spk_weights_count": (c_size_t, P),
    "spk_weights_at": (c_int, P, c_size_t, POINTER(Tensor)),
    "spk_weights_save": (c_int, P, P, c_char_p),
    "spk_weights_destroy": (None, P),
    "spk_model_load": (c_int, P, POINTER(ModelOptions), POINTER(P)),
    "spk_model_parse": (c_int, P, c_char_p, c_char_p, c_size_t, POINTER(ModelOptions), POINTER(P)),
    "spk_model_with_weights": (c_int, P, P, P, POINTER(P)),
    "spk_model_run_passes": (c_int, P, P, c_char_p, P, POINTER(P)),
    "spk_model_destroy": (None, P),
    "spk_model_describe": (c_int, P, POINTER(ModelInfo)),
    "spk_model_value": (c_int, P, c_uint32, POINTER(Value)),
    "spk_model_parameter": (c_int, P, c_uint32, POINTER(Tensor)),
    "spk_model_ignored": (c_char_p, P, c_uint32),
    "spk_model_print": (c_int, P, P, POINTER(P)),
    "spk_target_load": (c_int, P, c_char_p, POINTER(P)),
    "spk_target_parse": (c_int, P, c_char_p, c_char_p, c_size_t, POINTER(P)),
    "spk_target_vary": (c_int, P, P, POINTER(c_char_p), c_size_t, POINTER(P)),
    "spk_target_destroy": (None, P),
    "spk_target_describe": (c_int, P, POINTER(TargetInfo)),
    "spk_target_system": (c_int, P, c_uint32, POINTER(System)),
    "spk_target_fact": (c_int, P, c_uint32, POINTER(Fact)),
    "spk_target_find": (c_int, P, c_char_p, c_char_p, POINTER(Fact)),
    "spk_mapping_compile": (c_int, P, P, P, POINTER(MappingOptions), POINTER(P)),
    "spk_mapping_estimate": (c_int, P, P, P, POINTER(MappingOptions), POINTER(P)),
    "spk_mapping_load": (c_int, P, c_char_p, POINTER(P)),
    "spk_mapping_save": (c_int, P, P, c_char_p),
    "spk_mapping_destroy": (None, P),
    "spk_mapping_describe": (c_int, P, POINTER(MappingInfo)),
    "spk_mapping_core": (c_int, P, c_uint32, POINTER(Core)),
    "spk_mapping_tile": (c_int, P, c_uint32, POINTER(Tile)),
    "spk_mapping_layer": (c_int, P, c_uint32, POINTER(Layer)),
    "spk_mapping_cost": (c_int, P, P, c_size_t, POINTER(P)),
    "spk_mapping_check": (c_int, P, P, POINTER(P)),
    "spk_mapping_verify": (c_int, P, P, POINTER(Batch), POINTER(SessionOptions), POINTER(P)),
    "spk_session_create": (c_int, P, P, POINTER(SessionOptions), POINTER(P)),
    "spk_session_create_mapped": (c_int, P, P, POINTER(SessionOptions), POINTER(P)),
    "spk_session_destroy": (None, P),
    "spk_session_run": (c_int, P, P, POINTER(Batch), POINTER(P)),
    "spk_session_cost": (c_int, P, P, POINTER(P)),
    "spk_session_core_activity": (c_int, P, c_uint32, POINTER(CoreActivity)),
    "spk_outputs_logits": (c_int, P, POINTER(Tensor)),
    "spk_outputs_count": (c_size_t, P),
    "spk_outputs_at": (c_int, P, c_size_t, POINTER(Tensor)),
    "spk_outputs_find": (c_int, P, c_char_p, POINTER(Tensor)),
    "spk_outputs_destroy": (None, P),
}

lib = load()
