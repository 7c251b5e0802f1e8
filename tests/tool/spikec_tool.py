"""Helpers of the suites that drive the spikec tool: running it, safetensors and IDX files, golden
cases, folders that live as long as a test. A run that ends by a signal, with a sanitizer's report or
with an exit code that design gives no meaning fails the test whatever it expected."""
import gzip
import json
import math
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

import numpy as np

SOURCE = os.environ.get(
    "SPIKEC_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TOOL = os.environ.get("SPIKEC_TOOL", os.path.join(SOURCE, "build", "release", "spikec"))
BUILD = os.environ.get("SPIKEC_BUILD_DIR", os.path.dirname(TOOL))
INSTRUMENTED = os.environ.get("SPIKEC_INSTRUMENTED", "") != ""
GOLDEN = os.path.join(SOURCE, "tests", "data", "golden")
FASHION = "/usr/share/datasets/fashion-mnist"  # Debian's dataset-fashion-mnist

DONE, DIFFERENCE, USAGE, BAD_INPUT, NO_FIT, SYSTEM, INTERNAL = 0, 1, 2, 3, 4, 5, 70
SANITIZER_EXIT = 99

DTYPES = {
    "U8": np.dtype("<u1"), "I8": np.dtype("<i1"), "I16": np.dtype("<i2"), "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "F64": np.dtype("<f8"),
    "BOOL": np.dtype("?"),
}
DTYPE_NAMES = {v: k for k, v in DTYPES.items()}


# ---- tensor files ----

def read_header(path):
    with open(path, "rb") as f:
        return json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))


def read_tensors(path):
    """{name: array} of a safetensors file."""
    with open(path, "rb") as f:
        raw = f.read()
    length = struct.unpack_from("<Q", raw)[0]
    header, data = json.loads(raw[8:8 + length]), raw[8 + length:]
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[t["data_offsets"][0]:t["data_offsets"][1]],
                                DTYPES[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items()}


def tensor_bytes(tensors, **metadata):
    header, blobs, offset = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name, array in tensors.items():
        blob = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": DTYPE_NAMES[array.dtype.newbyteorder("<")],
                        "shape": list(array.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


def write_tensors(path, tensors, **metadata):
    write_bytes(path, tensor_bytes(tensors, **metadata))


def write_bytes(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def write_text(path, text):
    write_bytes(path, text.encode())


def read_text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def idx_bytes(array):
    """An IDX file of unsigned bytes."""
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + \
        array.astype(np.uint8).tobytes()


def write_idx(path, array):
    data = idx_bytes(array)
    write_bytes(path, gzip.compress(data, mtime=0) if path.endswith(".gz") else data)


# ---- golden cases ----

def golden(case, name):
    return os.path.join(GOLDEN, case, name)


def golden_cases(**want):
    """Names of the cases that have tensors; mode="exact" or "float" narrows."""
    names = sorted(n for n in os.listdir(GOLDEN)
                   if os.path.exists(golden(n, "weights.safetensors")))
    return [n for n in names if all(manifest(n)[k] == v for k, v in want.items())]


def manifest(case):
    with open(golden(case, "manifest.json"), encoding="utf-8") as f:
        return json.load(f)


def zoo_name(config):
    """From manifest to zoo, reference/spikformer.md section 6."""
    events = config["input_mode"] == "events"
    if config["variant"] == "v2":
        return "spikformer_v2_events" if events else "spikformer_v2"
    if config["lin"] == "linear":
        return "spikformer_v1_cifar10"
    return "spikformer_v1_cifar10dvs" if events else "spikformer_v1_imagenet"


def model_arguments(case):
    """MODEL --set ... for a golden case."""
    c = manifest(case)["config"]
    settings = {"height": c["img"][0], "width": c["img"][1], "in_channels": c["in_ch"],
                "dim": c["dim"], "depth": c["depth"], "heads": c["heads"],
                "mlp_ratio": c["mlp_ratio"], "timesteps": c["T"], "classes": c["classes"],
                "attn_scale": c["attn_scale"]}
    out = [zoo_name(c)]
    for name, value in settings.items():
        out += ["--set", f"{name}={value}"]
    return out


def case_arguments(case):
    return model_arguments(case) + ["--weights", golden(case, "weights.safetensors")]


def tokens(case):
    m = manifest(case)
    layer = next(n for n in m["order"] if n.endswith("attn.q_lif"))
    shape = m["layers"][layer]["shape"]
    return shape[2] if m["config"]["lin"] == "linear" else shape[3]


# ---- running ----

class Result:
    def __init__(self, arguments, done):
        self.arguments = arguments
        self.code = done.returncode
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")

    def __str__(self):
        return (f"spikec {' '.join(self.arguments)}\nexit code {self.code}\n"
                f"--- stdout\n{self.out[-2000:]}\n--- stderr\n{self.err[-4000:]}")

    def json(self):
        return json.loads(self.out, parse_constant=_no_constant)


def _no_constant(text):
    raise ValueError(f"{text} is not JSON")


def spikec(*arguments, cwd=None, env=None, stdin=b"", tool=None, timeout=300):
    """Runs the tool; no judgement on the exit code here, except that it did not crash."""
    arguments = [str(a) for a in arguments]
    environment = dict(os.environ)
    environment.pop("SPIKEC_MODELS", None)
    environment["ASAN_OPTIONS"] = f"exitcode={SANITIZER_EXIT}:allocator_may_return_null=1"
    environment["UBSAN_OPTIONS"] = f"exitcode={SANITIZER_EXIT}:print_stacktrace=1"
    environment["LSAN_OPTIONS"] = "print_suppressions=0:suppressions=" + \
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "lsan.supp")
    environment["TSAN_OPTIONS"] = f"exitcode={SANITIZER_EXIT}"
    environment.update(env or {})
    done = subprocess.run([tool or TOOL] + arguments, cwd=cwd, env=environment, input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          check=False)
    result = Result(arguments, done)
    if result.code not in range(0, 6):
        raise AssertionError(f"the tool crashed or failed internally:\n{result}")
    return result


class ToolTest(unittest.TestCase):
    """A test with a private folder, self.dir, and checked runs."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.class_dir = tempfile.mkdtemp(prefix=f"{cls.__name__}.", dir=os.getcwd())

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.class_dir, ignore_errors=True)

    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=self.class_dir)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def run_tool(self, *arguments, expect=DONE, says=(), **more):
        """Runs; the exit code must be `expect`, stderr must hold every text of `says`."""
        result = spikec(*arguments, **more)
        self.assertEqual(result.code, expect, result)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, result.err, result)
        if expect in (USAGE, BAD_INPUT, NO_FIT, SYSTEM):
            self.assertTrue(result.err.strip(), f"no word about the error:\n{result}")
        return result

    def compile(self, case, target, folder, *more, **how):
        return self.run_tool("compile", *case_arguments(case), "--target", target, "-o", folder,
                             *more, **how)

    def assert_close(self, got, want, relative=1e-9, what=""):
        self.assertTrue(math.isclose(got, want, rel_tol=relative, abs_tol=1e-300),
                        f"{what}: {got!r} is not {want!r}")

    def assert_same_tensors(self, got, want, what=""):
        """Names, shapes, element types and every value."""
        self.assertEqual(sorted(got), sorted(want), what)
        for name, array in want.items():
            self.assertEqual(got[name].shape, array.shape, f"{what} {name}")
            self.assertEqual(got[name].dtype, array.dtype, f"{what} {name}")
            different = np.argwhere(got[name] != array)
            self.assertEqual(len(different), 0, f"{what} {name}: {len(different)} values differ, "
                                                f"the first at {different[:1].tolist()}")
