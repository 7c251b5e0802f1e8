"""python: the module against the tool (same bytes), against files (state dicts), in wrong hands, from an
installed tree, through pip; its structs against the headers."""
import ctypes
import filecmp
import gc
import os
import re
import shutil
import subprocess
import sys
import threading
import unittest
import warnings

import numpy as np

import spikec_tool as t

if not t.INSTRUMENTED:  # this interpreter cannot load a library with sanitizers
    os.environ["SPIKEC_LIBRARY"] = os.path.join(t.BUILD, "libspikec.so")
    sys.path.insert(0, os.path.join(t.SOURCE, "python"))
    sys.dont_write_bytecode = True
    import spikec
    from spikec import _library as raw

try:
    import torch
except ImportError:
    torch = None

FASHION = "spikformer_v2_fashion"
SETTINGS = {"height": 8, "width": 8, "dim": 8, "heads": 2, "depth": 1, "mlp_ratio": 2, "timesteps": 2,
            "classes": 3}
NEW = os.path.join(t.SOURCE, "api", "new_model.spk")


def state_dict(model, seed=1):
    """Random weights of the shapes that a model wants; variances are positive."""
    rng = np.random.default_rng(seed)
    return {name: (np.abs(rng.normal(1, 0.1, shape)) if "running_var" in name else
                   rng.normal(0.3, 0.8, shape)).astype(np.float32)
            for name, shape in model.parameter_shapes.items()}


def same_folder(a, b):
    """Names of files that differ."""
    names = sorted(set(os.listdir(a)) | set(os.listdir(b)))
    return [n for n in names if not (os.path.exists(os.path.join(a, n)) and os.path.exists(os.path.join(b, n)) and
                                     filecmp.cmp(os.path.join(a, n), os.path.join(b, n), shallow=False))]


class PythonTest(t.ToolTest):
    def setUp(self):
        super().setUp()
        if t.INSTRUMENTED:
            self.skipTest("the interpreter is not instrumented")

    def tiny(self, seed=1):
        bare = spikec.load_model(NEW, settings=SETTINGS)
        return bare.with_weights(state_dict(bare, seed))

    @staticmethod
    def images(n=3):
        return np.random.default_rng(7).normal(size=(n, 1, 8, 8)).astype(np.float32)


class AgainstTool(PythonTest):
    """The same files and options give the same bytes."""

    def pixels(self, n=6):
        return np.random.default_rng(3).integers(0, 256, size=(n, 1, 28, 28), dtype=np.uint8)

    def test_run(self):
        x = self.pixels()
        t.write_tensors(self.path("x.safetensors"), {"input": x})
        for engine in ("reference", "packed"):
            self.run_tool("run", FASHION, "--input", self.path("x.safetensors"), "--engine", engine,
                          "--out", self.path("y.safetensors"), "--spikes", self.path("s.safetensors"))
            outputs = spikec.load_model(FASHION).run(x, record=True, engine=engine)
            logits = t.read_tensors(self.path("y.safetensors"))["logits"]
            self.assertTrue((outputs.logits == logits).all())
            spikes = t.read_tensors(self.path("s.safetensors"))
            for name in ("logits", "features"):
                spikes.pop(name, None)
            self.assert_same_tensors(outputs.spikes, spikes)
            self.assertGreater(len(spikes), 10)

    def test_compiled_folder(self):
        """compile and save is compile -o, byte for byte; also with settings, system and objective."""
        model = spikec.load_model(FASHION)
        for i, (options, arguments) in enumerate((
                ({}, ()),
                ({"objective": "traffic", "seed": 5}, ("--objective", "traffic", "--seed", "5")),
                ({"separate_cores": True, "attention": "embedded"},
                 ("--separate-cores", "--attention", "embedded")))):
            ours, theirs = self.path(f"ours{i}"), self.path(f"theirs{i}")
            mapping = model.compile("loihi2", **options)
            mapping.save(ours)
            self.run_tool("compile", FASHION, "--target", "loihi2", "-o", theirs, *arguments)
            self.assertEqual(same_folder(ours, theirs), [])
            self.assertEqual(mapping.cost()["totals"], self.cost(theirs)["totals"])
        again = spikec.load_mapping(self.path("ours1"))
        again.save(self.path("again"))
        self.assertEqual(same_folder(self.path("again"), self.path("ours1")), [])

    @staticmethod
    def cost(folder):
        import json
        return json.loads(t.read_text(os.path.join(folder, "cost.json")))

    def test_weights_file_and_settings(self):
        bare = spikec.load_model(NEW, settings=SETTINGS)
        t.write_tensors(self.path("w.safetensors"), state_dict(bare))
        mapping = bare.with_weights(self.path("w.safetensors")).compile("loihi1")
        mapping.save(self.path("ours"))
        sets = [a for k, v in SETTINGS.items() for a in ("--set", f"{k}={v}")]
        self.run_tool("compile", NEW, *sets, "--weights", self.path("w.safetensors"), "--target", "loihi1", "-o",
                      self.path("theirs"))
        self.assertEqual(same_folder(self.path("ours"), self.path("theirs")), [])

    def test_simulate_and_verify(self):
        x = self.pixels(4)
        t.write_tensors(self.path("x.safetensors"), {"input": x})
        mapping = spikec.compile(spikec.load_model(FASHION), "loihi2")
        mapping.save(self.path("out"))
        outputs, cost = mapping.simulate(x, record=True)
        said = self.run_tool("simulate", self.path("out"), "--input", self.path("x.safetensors"), "--out",
                             self.path("y.safetensors"), "--spikes", self.path("s.safetensors"), "--json").json()
        for key in ("totals", "cores", "layers", "paper_energy"):
            self.assertEqual(cost[key], said[key], key)
        spikes = t.read_tensors(self.path("s.safetensors"))
        self.assertTrue((outputs.logits == spikes.pop("logits")).all())
        self.assert_same_tensors(outputs.spikes, spikes)
        said = self.run_tool("verify", self.path("out"), "--input", self.path("x.safetensors"), "--json").json()
        ours = mapping.verify(x)
        for key in ("images", "values_compared", "mismatches", "spike_agreement", "spikes_outside_windows"):
            self.assertEqual(ours[key], said[key], key)
        self.assertEqual((ours.status, ours["mismatches"]), (0, 0))
        activity = mapping.session()
        activity.run(x)
        events = activity.activity()["synaptic_events"]
        self.assertEqual(events.sum(), round(cost["totals"]["synaptic_events"] * len(x)))

    def test_check_estimate_and_calibration(self):
        model = self.tiny()
        x = self.images(8) * 20
        mapping = model.compile("loihi2", calibrate=x)
        self.assertEqual(mapping.check()["violations"], 0)
        self.assertEqual(mapping.verify(self.images()).status, 0)
        sets = [a for k, v in SETTINGS.items() for a in ("--set", f"{k}={v}")]
        t.write_tensors(self.path("w.safetensors"), model.parameters)
        t.write_tensors(self.path("x.safetensors"), {"input": x})
        for name, folder, arguments in (("calibrated", "a", ("--calibrate", self.path("x.safetensors"))),
                                        ("plain", "b", ())):
            self.run_tool("compile", NEW, *sets, "--weights", self.path("w.safetensors"), "--target",
                          "loihi2", "-o", self.path(folder), *arguments)
            (mapping if arguments else model.compile("loihi2")).save(self.path(name))
            different = same_folder(self.path(name), self.path(folder))
            self.assertEqual(different, ["image.h5", "mapping.json"], name)  # provenance: arrays, no command
        self.assertIn("quantised.sir", same_folder(self.path("calibrated"), self.path("plain")))
        theirs = self.run_tool("estimate", NEW, *sets, "--target", "loihi2", "--json").json()
        self.assertEqual(dict(spikec.estimate(model, "loihi2")), theirs)
        big = spikec.estimate(spikec.load_model("spikformer_v1_cifar10"), "loihi2", system="oheo-gulch")
        self.assertEqual((big["fits"], big.status), (False, 4))

    def test_graph_cut_by_neurons(self):
        """A NIR graph, with options of the mapping and its order of channels."""
        import json
        import nir_maker
        import test_sparse
        nodes, edges = test_sparse.layers((60, 200, 150, 20))
        nir_maker.write(self.path("net.nir"), nodes, edges)
        model = spikec.load_model(self.path("net.nir"), settings={"timesteps": 4}, dt=0.001)
        mapping = model.compile("loihi2", cut="neurons")
        mapping.save(self.path("ours"))
        self.run_tool("compile", self.path("net.nir"), "--set", "timesteps=4", "--dt", "0.001", "--target",
                      "loihi2", "--cut", "neurons", "-o", self.path("theirs"))
        self.assertEqual(same_folder(self.path("ours"), self.path("theirs")), [])
        told = json.loads(t.read_text(self.path("ours", "mapping.json")))["layers"]
        orders = {layer["name"]: layer["order"] for layer in told if "order" in layer}
        self.assertGreater(len(orders), 1)
        for i, layer in enumerate(mapping.layers):
            want = orders.get(layer["name"], list(range(layer["channels"])))
            self.assertEqual(mapping.order(i).tolist(), want)
        with self.assertRaises(IndexError):
            mapping.order(len(mapping.layers))

    def test_targets_in_memory(self):
        """A varied chip is the one that explore varies; saved, the folder is whole, whatever became of the
        files that it was made of."""
        model = self.tiny()
        chip = spikec.load_target("loihi2").vary({"limits.neurons": 64})
        self.assertEqual(chip.fact("limits", "neurons")["value"], 64)
        self.assertIn("neurons_64", chip.name)
        mapping = model.compile(chip)
        self.assertGreater(len(mapping.cores), len(model.compile("loihi2").cores))
        self.assertTrue((mapping.cores["neurons"] <= 64).all())
        mapping.save(self.path("out"))
        self.assertEqual(self.run_tool("check", self.path("out"), "--json").json()["violations"], 0)
        text = t.read_text(self.path("out", "target.yaml"))
        again = spikec.load_mapping(self.path("out"))
        shutil.rmtree(self.path("out"))
        again.save(self.path("again"))
        self.assertEqual(t.read_text(self.path("again", "target.yaml")), text)
        parsed = model.compile(spikec.parse_target(text))
        self.assertEqual(parsed.cost(), mapping.cost())

    def test_tables_are_those_of_cost_json(self):
        mapping = self.tiny().compile("loihi2")
        cost = mapping.cost()
        for ours, theirs in zip(mapping.cores, cost["cores"]):
            for key in ("chip", "x", "y", "neurons", "neurons_limit", "in_axons", "out_axons", "synapse_bits",
                        "synapse_bits_limit", "synapses"):
                self.assertEqual(ours[key], theirs[key], key)
        self.assertEqual(len(mapping.cores), len(cost["cores"]))
        by_name = {layer["name"]: layer for layer in cost["layers"]}
        for ours in mapping.layers:
            if ours["name"] in by_name:
                for key in ("neurons", "in_axons", "synapse_bits", "synapses"):
                    self.assertEqual(ours[key], by_name[ours["name"]][key], (ours["name"], key))
        tiles = mapping.tiles
        self.assertEqual(sorted(set(tiles["core"])), list(range(len(mapping.cores))))


class StateDicts(PythonTest):
    def test_arrays_and_files_agree(self):
        bare = spikec.load_model(NEW, settings=SETTINGS)
        weights = state_dict(bare)
        t.write_tensors(self.path("w.safetensors"), weights)
        by_file = spikec.load_model(NEW, weights=self.path("w.safetensors"), settings=SETTINGS)
        by_array = bare.with_weights(weights)
        # transposed, of other types, with an axis of one more or less, behind a common prefix
        odd = {"module." + n: np.asfortranarray(a) for n, a in weights.items()}
        odd["module.head.weight"] = weights["head.weight"].astype(np.float64)[..., None]
        odd["module.steps.num_batches_tracked"] = np.int64(5)
        odd["module.extra"] = np.zeros(3)
        by_odd = bare.with_weights(odd)
        self.assertEqual(by_odd.ignored, ["extra"])
        x = self.images()
        want = by_file.run(x, record=True)
        self.assertGreater(sum(int(v.sum()) for v in want.spikes.values()), 100)
        for model in (by_array, by_odd):
            got = model.run(x, record=True)
            self.assertTrue((got.logits == want.logits).all())
            self.assert_same_tensors(got.spikes, want.spikes)
            self.assert_same_tensors(model.parameters, by_file.parameters)

    def test_hash_of_arrays(self):
        """Provenance of arrays: the documented hash, and no command."""
        import hashlib
        import json
        model = self.tiny()
        model.compile("loihi2").save(self.path("out"))
        found = json.loads(t.read_text(self.path("out", "mapping.json")))["provenance"]
        wanted = hashlib.sha256()
        for name, array in model.parameters.items():
            wanted.update(name.encode() + b"\0" + np.array([array.ndim, *array.shape], "<u4").tobytes() +
                          array.tobytes())
        self.assertEqual(found["weights_sha256"], wanted.hexdigest())
        self.assertEqual(found["command_line"], "")
        self.assertEqual(found["model"], "new_model.spk")
        self.run_tool("check", self.path("out"))
        self.run_tool("report", self.path("out"), "-o", self.path("r.html"))
        self.run_tool("diff", self.path("out"), self.path("out"))

    @unittest.skipUnless(torch, "torch is not installed")
    def test_torch(self):
        """state_dict() of a module; half precision; what requires gradients; the checkpoint file."""
        bare = spikec.load_model(NEW, settings=SETTINGS)
        arrays = state_dict(bare)
        module = torch.nn.Module()
        tensors = {n: torch.nn.Parameter(torch.from_numpy(a)) for n, a in arrays.items()}
        for name, value in tensors.items():
            module.register_parameter(name.replace(".", "/"), value)
        own = {n.replace("/", "."): v for n, v in module.state_dict(keep_vars=True).items()}
        self.assertTrue(all(v.requires_grad for v in own.values()))
        torch.save({"state_dict": own}, self.path("w.pth"))
        x = torch.from_numpy(self.images())
        want = bare.with_weights(self.path("w.pth")).run(x).logits
        self.assertTrue((bare.with_weights(own).run(x).logits == want).all())
        for half in (torch.float16, torch.bfloat16):
            small = {n: v.detach().to(half) for n, v in own.items()}
            back = {n: v.float().numpy() for n, v in small.items()}
            self.assertTrue((bare.with_weights(small).run(x).logits ==
                             bare.with_weights(back).run(x).logits).all())

    def test_torch_is_not_imported(self):
        code = "import sys, spikec; spikec.load_model('%s'); assert 'torch' not in sys.modules" % FASHION
        subprocess.run([sys.executable, "-c", code], check=True,
                       env={**os.environ, "PYTHONPATH": os.path.join(t.SOURCE, "python")})

    def test_weights_object(self):
        weights = spikec.Weights({"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.float32(1.5)})
        weights.save(self.path("w.safetensors"))
        back = t.read_tensors(self.path("w.safetensors"))
        self.assert_same_tensors(back, {"a": np.arange(6, dtype=np.int16).reshape(2, 3),
                                        "b": np.array(1.5, np.float32)})
        loaded = spikec.Weights(self.path("w.safetensors"))
        self.assert_same_tensors(loaded.arrays(), back)


class Hostile(PythonTest):
    def test_errors_are_data(self):
        with self.assertRaises(spikec.InputError) as caught:
            spikec.parse_model("model m() {\n\tinput x : frme[1, 4, 4];\n}\n", "folder/m.spk")
        first = caught.exception.diagnostics[0]
        self.assertEqual((first.severity, first.file, first.line), ("error", "folder/m.spk", 2))
        self.assertTrue(first.code.startswith("E01") and first.column > 1)
        self.assertIn("^", str(caught.exception))
        self.assertEqual(caught.exception.status, t.BAD_INPUT)
        self.assertIsInstance(caught.exception, ValueError)
        with self.assertRaises(spikec.FileError) as caught:
            spikec.load_mapping(self.path("nowhere"))
        self.assertIn("nowhere", str(caught.exception))
        with self.assertRaises(spikec.UsageError):
            self.tiny().compile("loihi2", objective="beauty")

    def test_does_not_fit(self):
        bare = spikec.load_model("spikformer_v1_cifar10")
        model = bare.with_weights(state_dict(bare))
        with self.assertRaises(spikec.DoesNotFit) as caught:
            model.compile("loihi2", system="oheo-gulch")
        error = caught.exception.diagnostics[0]
        self.assertEqual((error.code, caught.exception.status), ("E0666", t.NO_FIT))
        self.assertTrue(any("largest published model" in note.message for note in error.notes))

    def test_wrong_arrays(self):
        model = self.tiny()
        x = self.images()
        for bad in (x[:, :, :4], x[0, 0], x[:0], x.astype(np.int32), np.full_like(x, np.nan)):
            with self.assertRaises(spikec.InputError):
                model.run(bad)
        for bad in (np.array(["a"]), np.zeros(3, complex), np.zeros((1,) * 9), np.array([object()])):
            with self.assertRaises(ValueError):
                model.run(bad)
            with self.assertRaises(ValueError):
                model.with_weights({"head.weight": bad})
        with self.assertRaises(spikec.InputError) as caught:
            wrong = {**state_dict(model), "head.weight": np.zeros((3, 9))}
            del wrong["head.bias"]
            model.with_weights(wrong)
        codes = {d.code for d in caught.exception.diagnostics}
        self.assertIn("E0403", codes)  # missing, and
        self.assertIn("E0404", codes)  # misshapen
        with self.assertRaises(spikec.UsageError):
            model.run(x, record=["no_such_lif"])
        mapping = model.compile("loihi2")
        for labels in ([0, 1], [0, 1, 3], [0, 1, -1], [0.5, 1, 2]):
            with self.assertRaises(ValueError):
                mapping.verify(x, labels)

    def test_order_of_release(self):
        """Arrays outlive outputs, sessions mappings, mappings models."""
        session = self.tiny().compile("loihi2").session()
        gc.collect()
        spikes = session.run(self.images(), record=True).spikes
        del session
        gc.collect()
        want = self.tiny().compile("loihi2").run(self.images(), record=True).spikes
        self.assert_same_tensors(spikes, want)
        parameters = self.tiny().parameters
        gc.collect()
        self.assertTrue(all(np.isfinite(a).all() for a in parameters.values()))
        with self.assertRaises(ValueError):
            next(iter(parameters.values()))[...] = 0  # the model's own

    def test_cancellation_and_progress(self):
        seen = []
        context = spikec.Context(threads=1, progress=lambda *report: seen.append(report))
        model = self.tiny()
        model.compile("loihi2", context=context)
        self.assertGreater(len(seen), 5)
        self.assertTrue(all(isinstance(label, str) and done <= total for label, done, total in seen))
        with self.assertRaises(spikec.Cancelled):
            model.compile("loihi2", context=spikec.Context(progress=lambda *report: False))

        def fails(*_report):
            raise KeyError("mine")
        broken = spikec.Context(progress=fails)
        with self.assertRaises(KeyError):
            model.compile("loihi2", context=broken)
        again = spikec.Context(progress=lambda *report: model.run(self.images(), context=again))
        with self.assertRaises(RuntimeError):
            model.compile("loihi2", context=again)

    def test_interrupt(self):
        """Ctrl-C ends a long call and is what the caller sees."""
        code = ("import spikec, os, signal, threading\n"
                "m = spikec.load_model('%s')\n"
                "def hit(label, done, total):\n"
                "    if label == 'running' and done == 1: os.kill(os.getpid(), signal.SIGINT)\n"
                "import numpy\n"
                "try: m.run(numpy.zeros((3000, 1, 28, 28), 'u1'), context=spikec.Context(1, hit))\n"
                "except KeyboardInterrupt: print('interrupted')\n") % FASHION
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=100, check=True,
                              env={**os.environ, "PYTHONPATH": os.path.join(t.SOURCE, "python")})
        self.assertEqual(done.stdout.decode().strip(), "interrupted")

    def test_threads(self):
        model, results, x = self.tiny(), {}, self.images()
        mapping = model.compile("loihi2")

        def work(i):
            results[i] = (mapping.run(x, level="M").logits, model.compile("loihi2").run(x).logits)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        want = mapping.run(x, level="Q").logits
        self.assertEqual(len(results), 4)
        for pair in results.values():
            self.assertTrue((pair[0] == want).all() and (pair[1] == want).all())

    def test_warnings(self):
        mapping = self.tiny().compile("loihi2")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mapping.run(self.images() * 1e6)
        self.assertTrue(any("W0901" in str(w.message) and issubclass(w.category, spikec.SpikecWarning)
                            for w in caught))


class Layout(PythonTest):
    """What the module believes of the C structs and functions is what the compiler makes of them."""

    def test_structs(self):
        kinds = {"spk_context_options": raw.ContextOptions, "spk_model_options": raw.ModelOptions,
                 "spk_report_options": raw.ReportOptions, **{s.__name__: s for s in raw.STRUCTS}}
        lines = []
        for name, kind in kinds.items():
            lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
            for member, _ in kind._fields_:
                lines.append(f'printf("{name}.{member} %zu\\n", offsetof(struct {name}, {member}));')
        t.write_text(self.path("x.c"), "#include <stddef.h>\n#include <stdio.h>\n#include <spikec/spikec.h>\n"
                     "int main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n")
        subprocess.run([os.environ.get("CC", "cc"), "-I", os.path.join(t.SOURCE, "include"), self.path("x.c"),
                        "-o", self.path("x")], check=True)
        said = subprocess.run([self.path("x")], stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
        want = []
        for name, kind in kinds.items():
            want.append(f"{name} {ctypes.sizeof(kind)}")
            want += [f"{name}.{member} {getattr(kind, member).offset}" for member, _ in kind._fields_]
        self.assertEqual(said[:-1], want)
        self.assertGreater(len(want), 150)

    def test_every_struct_and_type(self):
        text = t.read_text(os.path.join(t.SOURCE, "include", "spikec", "objects.h"))
        self.assertEqual({s.__name__ for s in raw.STRUCTS}, set(re.findall(r"^struct (spk_\w+) \{", text, re.M)))
        names = re.search(r"enum \{\s*(SPIKEC_BOOL,.*?)\}", text, re.S).group(1).replace(" ", "").split(",")
        from spikec.arrays import DTYPES
        for i, name in enumerate(n.strip() for n in names):
            if name == "SPIKEC_BF16":
                self.assertNotIn(i, DTYPES)
                continue
            kind = np.dtype(DTYPES[i])
            word = "BOOL" if kind == bool else kind.kind.upper() + str(8 * kind.itemsize)
            self.assertEqual(name, "SPIKEC_" + word)

    def test_arguments(self):
        """As many arguments as the declarations have; functions of objects.h are all there."""
        for header in ("spikec.h", "objects.h"):
            text = re.sub(r"/\*.*?\*/", " ", t.read_text(os.path.join(t.SOURCE, "include", "spikec", header)),
                          flags=re.S)
            for name, arguments in re.findall(r"\b(spk_\w+)\(([^()]*)\);", text):
                if header == "objects.h":
                    self.assertIn(name, raw.CALLS)
                if name in raw.CALLS:
                    count = 0 if arguments.strip() == "void" else arguments.count(",") + 1
                    self.assertEqual(len(raw.CALLS[name]) - 1, count, name)


class Installed(PythonTest):
    def check(self, where, **more):
        code = ("import spikec, numpy; m = spikec.load_model('mine'); print(spikec.__file__, m.name, "
                "m.run(numpy.zeros((2, 1, 28, 28), 'u1')).logits.shape)")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SPIKEC_")}
        done = subprocess.run([sys.executable, "-B", "-c", code], stdout=subprocess.PIPE, check=True, cwd="/",
                              env={**environment, "PYTHONPATH": where, **more})
        said = done.stdout.decode().split()
        self.assertTrue(os.path.realpath(said[0]).startswith(os.path.realpath(where)), said)
        self.assertEqual(said[1:], [FASHION, "(2,", "10)"])

    def install(self):
        tree = self.path("tree")
        subprocess.run(["cmake", "--install", t.BUILD, "--prefix", tree], stdout=subprocess.DEVNULL, check=True)
        models = os.path.join(tree, "share", "spikec", "models")
        shutil.copy(os.path.join(models, FASHION + ".spk"), os.path.join(models, "mine.spk"))
        return tree

    def test_tree(self):
        self.check(os.path.join(self.install(), "lib", "python3", "dist-packages"))

    def test_pip(self):
        probe = subprocess.run([sys.executable, "-c", "import setuptools, pip"], check=False,
                               stderr=subprocess.DEVNULL)
        if probe.returncode != 0:
            self.skipTest("pip or setuptools is not installed")
        source = self.path("source")
        shutil.copytree(os.path.join(t.SOURCE, "python"), source,
                        ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps",
                        "--no-index", "--target", self.path("site"), source], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        tree = self.install()
        self.check(self.path("site"), SPIKEC_LIBRARY=os.path.join(tree, "lib", "libspikec.so.0.1"))

    def test_missing_library(self):
        done = subprocess.run([sys.executable, "-c", "import spikec"], stderr=subprocess.PIPE, check=False,
                              env={**os.environ, "PYTHONPATH": os.path.join(t.SOURCE, "python"),
                                   "SPIKEC_LIBRARY": self.path("none.so")})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("none.so", done.stderr.decode())
        self.assertIn("SPIKEC_LIBRARY", done.stderr.decode())

    def test_version(self):
        project = t.read_text(os.path.join(t.SOURCE, "python", "pyproject.toml"))
        self.assertIn(f'version = "{spikec.__version__}"', project)


if __name__ == "__main__":
    unittest.main()
