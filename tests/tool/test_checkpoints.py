"""PyTorch checkpoints: the files of tests/data/checkpoints and others made byte by byte are read
right, or refused with a reason; conversion in both directions; --weights FILE.pth."""
import importlib.util
import os
import struct
import subprocess
import sys
import unittest

import numpy as np

import checkpoint_maker as make
import spikec_tool as t

FILES = os.path.join(t.SOURCE, "tests", "data", "checkpoints")
CASE = "v2-tiny-exact"
INPUT = t.golden(CASE, "input.safetensors")
SHAPES = {"conv.weight": (3, 2, 2, 2), "bn.weight": (3,), "bn.bias": (3,), "bn.running_mean": (3,),
          "bn.running_var": (3,), "bn.num_batches_tracked": (), "head.weight": (4, 3),
          "head.bias": (4,)}


def network(dtype="<f4", add=0.0):
    """What make.py fills the small network with."""
    out, first = {}, add
    for name, shape in SHAPES.items():
        if name.endswith("tracked"):
            out[name] = np.array(7, "<i8")
            continue
        n = int(np.prod(shape))
        out[name] = (np.arange(n) * 0.25 + first).reshape(shape).astype(dtype)
        first += 1.0
    return out


def strided():
    base = np.arange(24, dtype="<f4")
    grid = base.reshape(4, 6)
    return {"base": base, "grid": grid, "turned": grid.T, "column": grid[:, 2],
            "window": grid[1:3, 1:5], "step": base[1::3], "tied": grid[2],
            "spread": np.full((2, 3), 3, "<f4"), "scalar": np.array(2.5, "<f4"),
            "none": np.zeros((0, 3), "<f4"),
            "turned4": np.arange(16, dtype="<f4").reshape(2, 2, 2, 2).transpose(3, 1, 0, 2)}


def types():
    quarter, whole = np.arange(-2, 4) / 4, np.arange(-2, 4)
    return {"f64": quarter.astype("<f8"), "f32": quarter.astype("<f4"),
            "f16": quarter.astype("<f2"), "i64": whole.astype("<i8"), "i32": whole.astype("<i4"),
            "i16": whole.astype("<i2"), "i8": whole.astype("<i1"),
            "u8": np.arange(6).astype("<u1"), "bool": np.array([True, False, True])}


class Base(t.ToolTest):
    def convert(self, path, *more, **how):
        out = self.path("out.safetensors")
        self.run_tool("weights", "convert", path, out, "--quiet", *more, **how)
        return t.read_tensors(out)

    def listed(self, path, *more):
        return self.run_tool("weights", "list", path, "--json", *more).json()

    def made(self, data, name="made.pth"):
        t.write_bytes(self.path(name), data)
        return self.path(name)


class CheckpointRead(Base):
    def both(self, name):
        for kind in ("zip", "old"):
            with self.subTest(file=name, kind=kind):
                yield os.path.join(FILES, f"{name}.{kind}.pth")

    def test_ways_to_save_a_network(self):
        for name in ("plain", "dict", "parallel", "nested", "training", "protocol4"):
            for path in self.both(name):
                self.assert_same_tensors(self.convert(path), network(), path)
        for path in self.both("parameters"):
            want = {n: a for n, a in network().items()
                    if "running" not in n and "tracked" not in n}
            self.assert_same_tensors(self.convert(path), want, path)
        for path in self.both("half"):
            self.assert_same_tensors(self.convert(path), network("<f2"), path)
        for path in self.both("double"):
            self.assert_same_tensors(self.convert(path), network("<f8"), path)
            self.assert_same_tensors(self.convert(path, "--dtype", "f32"), network(), path)
        for path in self.both("bfloat"):
            self.assertEqual(self.listed(path)["tensors"][0]["dtype"], "BF16")
            self.assert_same_tensors(self.convert(path, "--dtype", "f32"), network(), path)

    def test_strides_and_shared_storages(self):
        for path in self.both("strided"):
            self.assert_same_tensors(self.convert(path), strided(), path)

    def test_types(self):
        for path in self.both("types"):
            for form in ("f32", "f16"):
                got = self.convert(path, "--dtype", form)
                self.assertTrue((got.pop("bf16") == types()["f32"]).all())
                want = {n: a.astype("<" + form[0] + str(int(form[1:]) // 8))
                        if n in ("f64", "f32", "f16") else a for n, a in types().items()}
                self.assert_same_tensors(got, want, path)

    def test_training_checkpoint(self):
        for path in self.both("training"):
            report = self.listed(path)
            self.assertEqual({o.split(" ")[0] for o in report["others"]},
                             {"epoch", "arch", "optimizer", "args", "version", "best", "metric",
                              "state_dict_ema"})
            self.assertIn("args (argparse.Namespace)", report["others"])
            average = {n: a if n.endswith("tracked") else a + 1 for n, a in network().items()}
            self.assert_same_tensors(self.convert(path, "--ema"), average, path)
            self.assertIn("state_dict (dict of 8)", self.listed(path, "--ema")["others"])
        self.run_tool("weights", "list", os.path.join(FILES, "plain.zip.pth"), "--ema",
                      expect=t.BAD_INPUT, says="no averaged copy")

    def test_whole_model_is_refused(self):
        self.run_tool("weights", "list", os.path.join(FILES, "whole.zip.pth"), expect=t.BAD_INPUT,
                      says=["__main__.Net", "byte", "state_dict()"])

    def test_list(self):
        report = self.listed(os.path.join(FILES, "plain.zip.pth"))
        self.assertEqual(report["format"], "pytorch zip")
        self.assertEqual([x["name"] for x in report["tensors"]], list(SHAPES))
        self.assertEqual(report["tensors"][0], {"name": "conv.weight", "dtype": "F32",
                                                "shape": [3, 2, 2, 2], "bytes": 96})
        self.assertEqual(report["bytes"], 216)
        old = self.listed(os.path.join(FILES, "plain.old.pth"))
        self.assertEqual(old["format"], "pytorch before 1.6")
        self.assertEqual(old["tensors"], report["tensors"])
        text = self.run_tool("weights", "list", os.path.join(FILES, "plain.zip.pth")).out
        self.assertIn("F32[3,2,2,2]", text)


class CheckpointHostile(Base):
    def refused(self, key, data, says):
        with self.subTest(file=key):
            self.run_tool("weights", "list", self.made(data), "--quiet", expect=t.BAD_INPUT,
                          says=says, cwd=self.dir)
            self.assertFalse(os.path.exists(self.path("harm")))

    def test_containers(self):
        for key, (data, says) in make.containers().items():
            self.refused(key, data, says)

    def test_values(self):
        for key, (value, says) in make.values().items():
            self.refused(key + " zip", make.archive(value, {"0": make.RAMP}), says)
            if key not in ("storage_path", "storage_zero"):  # any key will do there
                self.refused(key, make.old_of(value), says)

    def test_good_ones_of_the_same_kind(self):
        """The maker's own files are right where nothing was broken on purpose."""
        want = {"w": np.arange(6, dtype="<f4").reshape(2, 3)}
        good = make.archive(make.GOOD, {"0": make.RAMP})
        for data in (good, make.wide(good, "archive/data/0"), make.end64(good),
                     make.end64(make.wide(good, "archive/data.pkl")),
                     make.archive(make.GOOD, {"0": make.RAMP}, root="other name"),
                     make.old(make.GOOD, {"0": (6, make.RAMP)})):
            self.assert_same_tensors(self.convert(self.made(data, "no_suffix")), want)
        view = make.old(make.pairs([("w", make.tensor(make.storage(
            "0", 6, view=make.tup(make.text("v"), make.number(2), make.number(3))), [2]))]),
            {"0": (6, make.RAMP)})
        self.assert_same_tensors(self.convert(self.made(view)),
                                 {"w": np.array([2, 3], "<f4")})
        third = make.name("torch._utils", "_rebuild_tensor_v3") + make.tup(
            make.storage("0", 24, "UntypedStorage", "torch.storage"), make.number(1),
            make.numbers([2]), make.numbers([2]), make.FALSE, make.ORDERED,
            make.name("torch", "uint32")) + make.CALL
        bits = np.frombuffer(make.RAMP, "<u4")[[1, 3]]
        report = self.listed(self.made(make.archive(make.pairs([("w", third)]),
                                                    {"0": make.RAMP})))
        self.assertEqual(report["tensors"][0]["dtype"], "U32")
        out = self.path("u32.safetensors")
        self.run_tool("weights", "convert", self.path("made.pth"), out)
        self.assertTrue(t.read_bytes(out).endswith(bits.tobytes()))

    def test_harm_beside_the_weights_is_never_done(self):
        harm = make.name("os", "system") + make.tup(make.text("touch harm")) + make.CALL
        value = make.pairs([("state_dict", make.GOOD), ("extra", harm),
                            ("made", harm + make.DICT + b"b")])
        for data in (make.archive(value, {"0": make.RAMP}),
                     make.old(value, {"0": (6, make.RAMP)})):
            report = self.run_tool("weights", "list", self.made(data), "--json",
                                   cwd=self.dir).json()
            self.assertEqual(report["others"], ["extra (os.system)", "made (os.system)"])
            self.assertFalse(os.path.exists(self.path("harm")))

    def test_truncated(self):
        for name in ("training.zip.pth", "training.old.pth"):
            whole = t.read_bytes(os.path.join(FILES, name))
            for n in range(16, len(whole), 173):
                self.refused(f"{name}[:{n}]", whole[:n], "error[E00")


class CheckpointConvert(Base):
    def test_round_trip(self):
        """safetensors to .pth and back: the same bytes."""
        for source in (t.golden(CASE, "weights.safetensors"), self.every_type()):
            first, second = self.path("a.safetensors"), self.path("b.safetensors")
            self.run_tool("weights", "convert", source, first)
            for suffix in (".pth", ".pt", ".pth.tar"):
                self.run_tool("weights", "convert", first, self.path("x" + suffix))
                self.run_tool("weights", "convert", self.path("x" + suffix), second)
                self.assertEqual(t.read_bytes(first), t.read_bytes(second))
            self.assert_same_tensors(t.read_tensors(first), t.read_tensors(source))
            self.assertEqual(t.read_bytes(self.path("x.pth")), t.read_bytes(self.path("x.pt")))

    def every_type(self):
        t.write_tensors(self.path("types.safetensors"), dict(types(), **strided()))
        return self.path("types.safetensors")

    def test_refusals(self):
        good = os.path.join(FILES, "types.zip.pth")
        self.run_tool("weights", "convert", good, self.path("x.bin"), expect=t.USAGE,
                      says=".safetensors")
        self.run_tool("weights", "convert", good, self.path("x.pth"), "--dtype", "f8",
                      expect=t.USAGE, says="f8")
        self.run_tool("weights", "convert", good, expect=t.USAGE, says="IN OUT")
        self.run_tool("weights", "look", good, expect=t.USAGE, says="list")
        t.write_tensors(self.path("big.safetensors"), {"w": np.array([1, 1e6], "<f4")})
        self.run_tool("weights", "convert", self.path("big.safetensors"), self.path("x.pth"),
                      "--dtype", "f16", expect=t.BAD_INPUT, says=["too large", "tensor w"])
        self.run_tool("weights", "list", self.path("big.safetensors"), "--ema",
                      expect=t.BAD_INPUT, says="--ema")
        header = b'{"w":{"dtype":"U32","shape":[1],"data_offsets":[0,4]}}'
        t.write_bytes(self.path("u.safetensors"), struct.pack("<Q", len(header)) + header + b"abcd")
        self.run_tool("weights", "convert", self.path("u.safetensors"), self.path("x.pth"),
                      expect=t.BAD_INPUT, says="U32")
        self.assertFalse(os.path.exists(self.path("x.pth")))

    def test_old_output_stays_on_failure(self):
        t.write_text(self.path("x.pth"), "as it was")
        self.run_tool("weights", "convert", self.made(b"PK\3\4 nothing"), self.path("x.pth"),
                      expect=t.BAD_INPUT)
        self.assertEqual(t.read_text(self.path("x.pth")), "as it was")

    def test_onto_itself(self):
        t.write_bytes(self.path("w.pth"), t.read_bytes(os.path.join(FILES, "half.zip.pth")))
        self.run_tool("weights", "convert", self.path("w.pth"), self.path("w.pth"))
        self.assert_same_tensors(self.convert(self.path("w.pth")), network("<f2"))

    @unittest.skipIf(importlib.util.find_spec("torch") is None, "PyTorch is not installed")
    def test_torch_reads_it(self):
        """The judge of what was written, in a process of its own."""
        source = self.every_type()
        self.run_tool("weights", "convert", source, self.path("x.pth"))
        script = ("import sys, torch\n"
                  "a = torch.load(sys.argv[1], weights_only=True)\n"
                  "b = torch.load(sys.argv[1])\n"
                  "assert list(a) == list(b)\n"
                  "for n, x in a.items():\n"
                  "    assert torch.equal(x, b[n]) and x.is_contiguous()\n"
                  "    print(n, x.dtype, list(x.shape), x.numpy().tobytes().hex())\n")
        run = subprocess.run([sys.executable, "-c", script, self.path("x.pth")],
                             capture_output=True, text=True, check=True)
        names = {"<f8": "float64", "<f4": "float32", "<f2": "float16", "<i8": "int64",
                 "<i4": "int32", "<i2": "int16", "|i1": "int8", "|u1": "uint8", "|b1": "bool"}
        want = [f"{n} torch.{names[a.dtype.str]} {list(a.shape)} {a.tobytes().hex()}".strip()
                for n, a in t.read_tensors(source).items()]
        self.assertEqual([line.strip() for line in run.stdout.splitlines()], want)


class CheckpointWeights(Base):
    """--weights FILE.pth in place of the safetensors file."""

    def setUp(self):
        super().setUp()
        self.pth = self.path("w.pth")
        self.run_tool("weights", "convert", t.golden(CASE, "weights.safetensors"), self.pth)

    def run_with(self, weights, *more, **how):
        return self.run_tool("run", *t.model_arguments(CASE), "--weights", weights, "--input",
                             INPUT, "--out", self.path("y"), "--json", *more, **how)

    def test_run(self):
        self.run_with(t.golden(CASE, "weights.safetensors"))
        want = t.read_bytes(self.path("y"))
        self.assertEqual(self.run_with(self.pth).json()["ignored_tensors"], [])
        self.assertEqual(t.read_bytes(self.path("y")), want)
        os.rename(self.pth, self.path("model_best"))
        self.run_with(self.path("model_best"))
        self.assertEqual(t.read_bytes(self.path("y")), want)

    def wrapped(self):
        """A checkpoint of training: module. before every name, an average, an optimiser."""
        weights = t.read_tensors(t.golden(CASE, "weights.safetensors"))
        blobs, state, average = {}, [], []
        for i, (n, a) in enumerate(weights.items()):
            for j, (kind, values) in enumerate(((state, a), (average, a * 0))):
                key = str(2 * i + j)
                blobs[key] = np.ascontiguousarray(values).astype("<f4").tobytes()
                kind.append(("module." + n,
                             make.tensor(make.storage(key, a.size), list(a.shape))))
        state.append(("module.norm.weight", make.tensor(make.storage("0", 1), [1], offset=0)
                      if weights[next(iter(weights))].size == 1 else state[0][1]))
        state.append(("module.bn.num_batches_tracked", state[0][1]))
        return make.archive(make.pairs([
            ("state_dict", make.pairs(state)), ("model_ema", make.pairs(average)),
            ("optimizer", make.pairs([("lr", make.number(1))]))]), blobs)

    def test_ignored_and_ema(self):
        path = self.made(self.wrapped())
        self.run_with(self.pth)
        want = t.read_tensors(self.path("y"))["logits"]
        report = self.run_with(path).json()
        self.assertEqual(report["ignored_tensors"][0], "norm.weight")
        self.assertEqual({x.split(" ")[0] for x in report["ignored_tensors"]},
                         {"norm.weight", "model_ema", "optimizer"})
        self.assertTrue((t.read_tensors(self.path("y"))["logits"] == want).all())
        self.run_with(path, "--ema")
        self.assertFalse((t.read_tensors(self.path("y"))["logits"] == want).all())
        self.run_with(self.pth, "--ema", expect=t.BAD_INPUT, says="no averaged copy")

    def test_compile_and_verify(self):
        folder = self.path("d")
        self.run_tool("compile", *t.model_arguments(CASE), "--weights", self.pth, "--target",
                      "loihi2", "-o", folder)
        report = self.run_tool("verify", folder, "--input", INPUT, "--json").json()
        self.assertEqual(report["mismatches"], 0)

    def test_opt(self):
        self.run_tool("opt", *t.model_arguments(CASE), "--weights", self.pth, "--passes",
                      "dce")


if __name__ == "__main__":
    unittest.main()
