"""cli: what a user gets for every kind of mistake: exit codes, words, and nothing left behind."""
import gzip
import os
import re
import stat
import struct
import unittest

import numpy as np

import spikec_tool as t

COMMANDS = ("run", "compile", "estimate", "check", "simulate", "verify", "opt", "place", "partition",
            "fmt", "cost", "target")
CASE = "v2-tiny-exact"
INPUT = t.golden(CASE, "input.safetensors")


class Help(t.ToolTest):
    def test_help_and_version(self):
        done = self.run_tool("--help")
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", done.out)
            text = self.run_tool(command, "--help").out
            for word in ("--json", "--threads", "--quiet", "--time-report", f"spikec {command}"):
                self.assertIn(word, text, command)
        self.assertRegex(self.run_tool("--version").out, r"^spikec \d+\.\d+\.\d+\n(\w+: .+\n)+$")

    def test_usage_errors(self):
        self.run_tool(expect=t.USAGE)
        self.run_tool("complie", expect=t.USAGE, says="complie")
        for command in COMMANDS:
            self.run_tool(command, "--no-such-option", "x", expect=t.USAGE, says=command)
            self.run_tool(command, expect=t.USAGE, says="missing")
            self.run_tool(command, "a", "b", "c", expect=t.USAGE, says="too many")
        model = t.case_arguments(CASE)
        self.run_tool("run", *model, expect=t.USAGE, says="--input")
        self.run_tool("run", *model[:-2], "--input", INPUT, expect=t.USAGE, says="--weights")
        self.run_tool("compile", *model, "--target", "loihi1", expect=t.USAGE, says="-o")
        self.run_tool("compile", *model, "-o", "x", expect=t.USAGE, says="--target")
        self.run_tool("estimate", *model[:-2], expect=t.USAGE, says="--target")
        self.run_tool("target", "shew", "loihi1", expect=t.USAGE, says="show")
        self.run_tool("target", "show", expect=t.USAGE)

    def test_bad_values(self):
        model = ["run", *t.case_arguments(CASE), "--input", INPUT]
        for option, value in (("--threads", "two"), ("--threads", "-1"), ("--threads", "100000"),
                              ("--limit", "0"), ("--limit", "-3"), ("--limit", "1x"),
                              ("--limit", "99999999999999999999"), ("--repeat", "1.5"),
                              ("--engine", "analog")):
            self.run_tool(*model, option, value, expect=t.USAGE,
                          says=[option] if option != "--engine" else [value])
        self.run_tool(*model, "--level", "S", expect=t.USAGE, says="'S'")
        self.run_tool(*model, "--set", "height", expect=t.USAGE, says="NAME=VALUE")
        self.run_tool(*model, "--set", "=3", expect=t.USAGE)
        self.run_tool(*model, "--bind", "x", expect=t.USAGE, says="FROM=TO")
        self.run_tool(*model, "--level", "Q", expect=t.USAGE, says="compile")
        compiling = ["compile", *t.case_arguments(CASE), "--target", "loihi1", "-o",
                     self.path("d")]
        for option, value in (("--attention", "magic"), ("--schedule", "never"),
                              ("--objective", "beauty"), ("--seed", "-1"), ("--seed", "x")):
            self.run_tool(*compiling, option, value, expect=t.USAGE, says=value)
        self.assertFalse(os.path.exists(self.path("d")))

    def test_full_disk(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            for arguments in (["--version"], ["--help"], ["target", "list"], ["opt", "--list"]):
                done = t.subprocess.run([t.TOOL] + arguments, stdout=full,
                                        stderr=t.subprocess.PIPE, check=False)
                self.assertEqual(done.returncode, t.SYSTEM, arguments)
                self.assertIn(b"cannot write", done.stderr)


class InternalError(t.ToolTest):
    """The driver's own test hook; builds without fault injection do not have it."""

    def test_reproducer(self):
        arguments = [t.TOOL, "target", "check", "it's here"]
        for _ in range(2):
            done = t.subprocess.run(arguments, cwd=self.dir, stderr=t.subprocess.PIPE, check=False,
                                    env=dict(os.environ, SPIKEC_FAIL_INTERNALLY="1"))
            if done.returncode == t.BAD_INPUT:
                self.skipTest("built without fault injection")
            self.assertEqual(done.returncode, t.INTERNAL)
        names = sorted(os.listdir(self.dir))
        self.assertEqual(len(names), 2)
        self.assertTrue(any(n in done.stderr.decode() for n in names))
        for name in names:
            text = t.read_text(self.path(name))
            self.assertRegex(text, r"^spikec \d+\.\d+\.\d+: internal error\n")
            self.assertIn("target check 'it'\\''s here'", text)
            self.assertIn("error[E0512]", text)
        os.chmod(self.dir, 0o555)
        if os.geteuid() != 0:  # root writes anywhere
            done = t.subprocess.run(arguments, cwd=self.dir, stderr=t.subprocess.PIPE, check=False,
                                    env=dict(os.environ, SPIKEC_FAIL_INTERNALLY="1"))
            self.assertEqual(done.returncode, t.INTERNAL)
            self.assertIn(b"could not be written", done.stderr)
        os.chmod(self.dir, 0o755)


class Settings(t.ToolTest):
    def fail(self, setting, *says, model="spikformer_v2"):
        self.run_tool("estimate", model, "--target", "loihi2", "--set", setting,
                      expect=t.BAD_INPUT, says=says)

    def test_names_and_values(self):
        self.fail("heigth=32", "heigth", "did you mean 'height'")
        self.fail("Dim=32", "Dim")
        self.fail("dim=abc", "abc", "dim")
        self.fail("dim=", "dim")
        self.fail("dim=1.5", "1.5")
        self.fail("dim=500", "500", "496", "504")
        self.fail("heads=7", "7")
        for value in ("0", "-8", "99999999999999999999", "4294967296"):
            self.fail(f"dim={value}", value)
            self.fail(f"timesteps={value}", value)
        self.fail("attn_scale=nan", "nan")
        self.fail("attn_scale=1e999", "1e999")
        self.fail("depth=1000000")
        self.fail("height=8")

    def test_several_errors_and_the_last_wins(self):
        done = self.run_tool("estimate", "spikformer_v2", "--target", "loihi2", "--set",
                             "colour=1", "--set", "size=2", "--set", "dim=x", expect=t.BAD_INPUT)
        for word in ("colour", "size", "'x'"):
            self.assertIn(word, done.err)
        model = t.case_arguments(CASE)
        self.run_tool("run", model[0], "--set", "dim=500", *model[1:], "--input", INPUT)
        self.run_tool("run", *model, "--set", "dim=500", "--input", INPUT, expect=t.BAD_INPUT)

    def test_no_such_model(self):
        self.run_tool("estimate", "spikformer_v3", "--target", "loihi1", expect=t.BAD_INPUT,
                      says=["spikformer_v3", "did you mean 'spikformer_v2'"])
        t.write_text(self.path("mine"), "model m() {}")
        self.run_tool("estimate", "mine", "--target", "loihi1", cwd=self.dir, expect=t.BAD_INPUT,
                      says="mine")  # never the working directory
        self.run_tool("estimate", "./mine.spk", "--target", "loihi1", cwd=self.dir, expect=t.SYSTEM,
                      says="mine.spk")

    def test_own_zoo(self):
        os.mkdir(self.path("zoo"))
        t.write_text(self.path("zoo", "spikformer_v9.spk"), "model spikformer_v9( {}")
        done = self.run_tool("estimate", "spikformer_v9", "--target", "loihi1",
                             env={"SPIKEC_MODELS": self.path("zoo")}, expect=t.BAD_INPUT)
        self.assertRegex(done.err, r"spikformer_v9\.spk:1:\d+")


class Models(t.ToolTest):
    HEAD = "model m(timesteps = 2) {\n    input x : frame[3, 8, 8] repeat timesteps;\n"

    def bad(self, text, *says):
        t.write_text(self.path("m.spk"), text)
        done = self.run_tool("estimate", self.path("m.spk"), "--target", "loihi2",
                             expect=t.BAD_INPUT, says=says)
        self.assertIn("m.spk", done.err)
        return done.err

    def test_several_errors_in_one_run(self):
        """Errors of syntax in one run; where there are none, those of meaning; with carets."""
        end = "    output logits = linear(mean(a, tokens, time), 4);\n}\n"
        for body in ("    let a = ;\n    let b = x x;\n    let c = x;\n    let d = ) x;\n",
                     "    let a = conv2d(x, 4, 3, padd = 1);\n    let b = relu(x);\n"
                     "    let c = x;\n    let d = y + x;\n"):
            err = self.bad(self.HEAD + body + end)
            lines = {int(n) for n in re.findall(r"m\.spk:(\d+):\d+: error", err)}
            self.assertEqual(lines & {3, 4, 5, 6}, {3, 4, 6}, err)
            self.assertGreaterEqual(err.count("^"), 3)

    def test_broken_texts(self):
        for text in ("", "model", "model m() {", "}", "\x00\x01\x02", "model m() { let }",
                     "é" * 100, "/* never closed", "model m() {}\n" * 2, "(" * 100000,
                     "model m() { x = " + "(" * 20000 + "1" + ")" * 20000 + "; }",
                     "import \"" + "a" * 10000 + "\";", "model m(a = 1, a = 2) {}",
                     self.HEAD + "for i in 0 .. 1000000000 { x = x + x; }\n}"):
            self.bad(text)
        t.write_bytes(self.path("m.spk"), bytes(range(256)) * 64)
        self.run_tool("estimate", self.path("m.spk"), "--target", "loihi2", expect=t.BAD_INPUT)

    def test_import_of_itself(self):
        self.bad('import "m.spk";\nmodel m() {}\n')

    def test_sir(self):
        good = self.run_tool("opt", *t.model_arguments(CASE)).out
        rng = np.random.default_rng(3)
        broken = ["", "sir", good[:100], good[:len(good) // 2], good.replace("conv2d", "conv3d"),
                  good.replace("[", "[9999999999"), good.replace("%", "%9", 3), "(" * 50000,
                  "\x00" * 100, good + good]
        for _ in range(30):
            data = bytearray(good.encode())
            for at in rng.integers(0, len(data), 3):
                data[at] = rng.integers(32, 127)
            broken.append(data.decode())
        refused = 0
        for text in broken:
            t.write_text(self.path("x.sir"), text)
            done = t.spikec("opt", self.path("x.sir"))
            self.assertIn(done.code, (t.DONE, t.BAD_INPUT), done)
            refused += done.code
            if done.code:
                self.assertIn("x.sir", done.err)
        self.assertGreater(refused, 60)


class Weights(t.ToolTest):
    def setUp(self):
        super().setUp()
        self.good = dict(t.read_tensors(t.golden(CASE, "weights.safetensors")))

    def attempt(self, tensors, expect=t.BAD_INPUT, says=()):
        path = self.path("w.safetensors")
        if isinstance(tensors, bytes):
            t.write_bytes(path, tensors)
        else:
            t.write_tensors(path, tensors)
        return self.run_tool("run", *t.model_arguments(CASE), "--weights", path, "--input", INPUT,
                             "--out", self.path("y"), "--json", expect=expect, says=says)

    def test_missing_and_misshapen(self):
        name, other = "block.1.attn.k_conv.weight", "patch_embed.stage2.down_bn.running_var"
        less = {n: a for n, a in self.good.items() if n not in (name, other)}
        self.attempt(less, says=[name, other])
        self.attempt(dict(self.good, **{name: self.good[name][:-1]}), says=[name, "31", "32"])
        spoilt = np.array(self.good[name])
        spoilt.ravel()[7] = np.inf
        self.attempt(dict(self.good, **{name: spoilt}), says=name)
        spoilt.ravel()[7] = np.nan
        self.attempt(dict(self.good, **{name: spoilt}), says=name)
        self.assertFalse(os.path.exists(self.path("y")))

    def test_forms_of_one_weight(self):
        """[O, I], [O, I, 1] and [O, I, 1, 1]; F64 and F16 where they are exact; names ignored."""
        name = "block.1.attn.k_conv.weight"
        w = self.good[name].reshape(32, 32)
        self.run_tool("run", *t.case_arguments(CASE), "--input", INPUT, "--out", self.path("z"))
        want = t.read_tensors(self.path("z"))["logits"]
        for form in (w, w[:, :, None], w[:, :, None, None], w.astype(np.float64),
                     w.astype(np.float16)):
            report = self.attempt(dict(self.good, **{name: form, "norm.weight": w, "pos_embed": w}),
                                  expect=t.DONE).json()
            self.assertEqual(sorted(report["ignored_tensors"]), ["norm.weight", "pos_embed"])
            self.assertTrue((t.read_tensors(self.path("y"))["logits"] == want).all())

    def test_bind(self):
        name = "block.1.attn.k_conv.weight"
        renamed = {("my.key" if n == name else n): a for n, a in self.good.items()}
        self.attempt(renamed, says=name)
        self.run_tool("run", *t.model_arguments(CASE), "--weights", self.path("w.safetensors"),
                      "--bind", f"my.key={name}", "--input", INPUT)

    def test_hostile_files(self):
        whole = t.tensor_bytes(self.good)
        n = struct.unpack_from("<Q", whole)[0]
        header = t.json.loads(whole[8:8 + n])
        first = next(iter(header))

        def rebuilt(change, data=whole[8 + n:]):
            h = t.json.loads(t.json.dumps(header))
            change(h)
            text = t.json.dumps(h).encode()
            return struct.pack("<Q", len(text)) + text + data

        def entry(**fields):
            return lambda h: h[first].update(fields)

        for data in (b"", b"\x00" * 7, whole[:8], whole[:8 + n // 2], whole[:8 + n],
                     whole[:-1], whole + b"x" * 8, struct.pack("<Q", 1 << 62) + whole[8:],
                     struct.pack("<Q", 0) + whole[8:], b"PK\x03\x04" + whole,
                     rebuilt(entry(data_offsets=[0, 1 << 60])),
                     rebuilt(entry(data_offsets=[64, 0])), rebuilt(entry(data_offsets=[-4, 44])),
                     rebuilt(entry(shape=[1 << 40, 1 << 40])), rebuilt(entry(shape=[-1])),
                     rebuilt(entry(shape=3)), rebuilt(entry(dtype="F33")),
                     rebuilt(entry(dtype=7)), rebuilt(lambda h: h.update({first: []})),
                     struct.pack("<Q", 200000) + b"[" * 200000,
                     struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 2) + b"{}",
                     struct.pack("<Q", 30) + b'{"a":1,"a":2,"__metadata__":3}'):
            done = self.attempt(data)
            self.assertIn("w.safetensors", done.err)
        self.assertFalse(os.path.exists(self.path("y")))


class Inputs(t.ToolTest):
    def attempt(self, name, expect=t.BAD_INPUT, case=CASE, says=()):
        return self.run_tool("run", *t.case_arguments(case), "--input", self.path(name),
                             "--out", self.path("y"), expect=expect, says=says)

    def test_rank_shape_and_type(self):
        image = t.read_tensors(INPUT)["input"]
        for wrong, says in ((image[0], "4"), (image[:, :2], "3"), (image[..., :31], "31"),
                            (image[None], "4"), (image.astype(np.int64), "I64"),
                            (image[:0], "image"), (image * np.float32(np.nan), "nan")):
            t.write_tensors(self.path("x"), {"input": np.ascontiguousarray(wrong)})
            self.attempt("x", says=says)
        t.write_tensors(self.path("x"), {"image": image})
        self.attempt("x", says="input")
        t.write_bytes(self.path("x"), t.read_bytes(INPUT)[:-5])
        self.attempt("x", says="x")
        self.assertFalse(os.path.exists(self.path("y")))
        self.attempt("none", expect=t.SYSTEM, says="none")

    def test_events(self):
        case = "v2-tiny-events-exact"
        events = t.read_tensors(t.golden(case, "input.safetensors"))["input"]
        for wrong, says in ((events[:, :3], "3"), (events[:, 0], "input"),
                            (events - np.float32(1), "input"),
                            (events + np.float32(0.25), "input")):
            t.write_tensors(self.path("x"), {"input": np.ascontiguousarray(wrong)})
            self.attempt("x", case=case, says=says)
        t.write_tensors(self.path("x"), {"input": events * 3})
        self.attempt("x", case=case, expect=t.DONE)
        for target in ("loihi1", "loihi2"):  # counts above 1 are legal everywhere
            self.compile(case, target, self.path(target))
            self.run_tool("verify", self.path(target), "--input", self.path("x"))

    def test_idx(self):
        images = np.arange(3 * 28 * 28, dtype=np.uint32).reshape(3, 28, 28) % 251
        good, model = t.idx_bytes(images), ["run", "spikformer_v2_fashion", "--input"]
        packed = gzip.compress(good)
        for data in (good, packed):
            t.write_bytes(self.path("x"), data)
            self.assertEqual(self.run_tool(*model, self.path("x"), "--json").json()["images"], 3)
        for data in (b"", good[:3], good[:15], good[:-1], good[:40], packed[:-9], packed[:20],
                     packed[:60] + b"\xff" * 30 + packed[90:],
                     b"\x00\x00\x0d\x03" + good[4:], b"\x00\x01\x08\x03" + good[4:],
                     b"\x00\x00\x08\x02" + good[4:],
                     good[:4] + struct.pack(">3I", 0xFFFFFFFF, 0xFFFFFFFF, 28) + good[16:],
                     t.idx_bytes(images[:, :27]), t.idx_bytes(images[:0])):
            t.write_bytes(self.path("x"), data)
            done = self.run_tool(*model, self.path("x"), expect=t.BAD_INPUT)
            self.assertIn("x", done.err)

    def test_labels(self):
        images = np.zeros((3, 28, 28))
        t.write_idx(self.path("x"), images)
        model = ["run", "spikformer_v2_fashion", "--input", self.path("x"), "--labels",
                 self.path("l")]
        for labels, expect in (([1, 2, 3], t.DONE), ([1, 2], t.BAD_INPUT), ([1, 2, 10],
                                                                          t.BAD_INPUT)):
            t.write_idx(self.path("l"), np.array(labels))
            self.run_tool(*model, expect=expect)
        t.write_idx(self.path("l"), images)
        self.run_tool(*model, expect=t.BAD_INPUT)

    def test_rates(self):
        for text in ("", "[]", "{", '{"a": }', '{"no.such.value": 0.5}',
                     '{"block.0.attn.q_lif": "x"}', '{"block.0.attn.q_lif": -1}',
                     '{"block.0.attn.q_lif": [0.5]}', "[" * 100000):
            t.write_text(self.path("r"), text)
            self.run_tool("estimate", *t.model_arguments(CASE), "--target", "loihi2", "--rates",
                          self.path("r"), expect=t.BAD_INPUT, says="r")


class Targets(t.ToolTest):
    def setUp(self):
        super().setUp()
        self.good = t.read_text(os.path.join(t.SOURCE, "backends", "targets", "loihi1.yaml"))

    def attempt(self, text, *says, expect=t.BAD_INPUT):
        t.write_text(self.path("t.yaml"), text)
        done = self.run_tool("target", "check", self.path("t.yaml"), expect=expect, says=says)
        if expect == t.BAD_INPUT:
            self.assertRegex(done.err, r"t\.yaml(:\d+:\d+)?: error")
        return done.err

    def test_commands(self):
        names = self.run_tool("target", "list", "--json").json()["targets"]
        self.assertTrue({"loihi1", "loihi2"} <= set(names))
        for name in names:
            self.assertIn(name, self.run_tool("target", "list").out)
            self.assertIn("basis", self.run_tool("target", "show", name, "--json").out)
            self.assertIn("assumed", self.run_tool("target", "show", name).out)
            self.run_tool("target", "check", name)
        self.attempt(self.good, expect=t.DONE)
        self.run_tool("target", "show", "loihi9", expect=t.BAD_INPUT, says="did you mean 'loihi")
        self.run_tool("target", "show", "./loihi1.yaml", cwd=self.dir, expect=t.SYSTEM)

    def test_routing_table(self):
        """A target that limits destinations: refused with the layer, and found by the checker."""
        last = "limits:\n"
        row = '  routes: {value: %d, unit: destinations, basis: assumed, source: "a test"}\n'
        t.write_text(self.path("small.yaml"), self.good.replace(last, last + row % 1, 1))
        t.write_text(self.path("large.yaml"), self.good.replace(last, last + row % 64, 1))
        self.compile(CASE, self.path("small.yaml"), self.path("d"), expect=t.NO_FIT,
                     says=["routing table holds 1", "layer '"])
        self.assertFalse(os.path.exists(self.path("d")))
        self.compile(CASE, self.path("large.yaml"), self.path("d"))
        self.run_tool("check", self.path("d"))
        t.write_text(self.path("d", "target.yaml"), t.read_text(self.path("small.yaml")))
        self.run_tool("check", self.path("d"), expect=t.DIFFERENCE, says="routes: ")

    def test_hostile_yaml(self):
        line = "  neurons: {value: 1024"
        self.assertIn(line, self.good)
        located = r"t\.yaml:\d+:\d+"
        for text, says in (
                (self.good.replace(line, "  nurons: {value: 1024"), "nurons"),
                (self.good.replace(line, line + "}\n  in_axons: {value: 1"), "in_axons"),
                (self.good + "\nlimits: {}\n", "limits"),
                (self.good + "\ncolour: red\n", "colour"),
                (self.good.replace(line, "  neurons: {value: many"), "many"),
                (self.good.replace(line, "  neurons: {value: -5"), "-5"),
                (self.good.replace(line, "  neurons: {value: 1e99"), "1e99"),
                (self.good.replace("unit: compartments, basis: derived", "unit: pJ, basis: derived",
                                   1), "pJ"),
                (self.good.replace("basis: derived", "basis: guessed", 1), "guessed"),
                (self.good.replace(line, line + ", value: 7"), "value"),
                (self.good.replace("limits:", "limits: &a", 1) + "\nmore: *a\n", ""),
                ("a: &a [1, 2]\nb: *a\n", ""),
                ("&a [*a]", ""), ("- " * 30000 + "x", ""), ("[" * 100000, ""),
                ("{a: " * 20000, ""), ("", ""), ("\t\tx: 1", ""), ("a: 1\n  b: 2", ""),
                ("--- 1\n--- 2\n", ""), ("!!binary x: y", ""), ("name: \"unclosed", ""),
                ("a: !<tag:evil> 1", "")):
            err = self.attempt(text, says)
            if says:
                self.assertRegex(err, located)
        t.write_bytes(self.path("t.yaml"), b"\xff\xfe\x00x\x80" * 50)
        self.run_tool("target", "check", self.path("t.yaml"), expect=t.BAD_INPUT)
        billion = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n"
            for i in range(9))
        self.attempt(billion)

    def test_own_target(self):
        """A chip of the user's own, and one that is too small: layer, resource, need, have."""
        model = t.case_arguments(CASE)
        t.write_text(self.path("mine.yaml"), self.good.replace("name: loihi1", "name: mine"))
        self.run_tool("compile", *model, "--target", self.path("mine.yaml"), "-o", self.path("d"))
        self.run_tool("check", self.path("d"))
        self.run_tool("verify", self.path("d"), "--input", INPUT)
        for resource, value, small in (("synapse_bits", 1048576, 64), ("in_axons", 4096, 2),
                                       ("out_axons", 4096, 1), ("neurons", 1024, 2)):
            text = self.good.replace(f"  {resource}: {{value: {value}",
                                     f"  {resource}: {{value: {small}")
            self.assertNotEqual(text, self.good)
            t.write_text(self.path("small.yaml"), text)
            folder = self.path("small")
            done = self.run_tool("compile", *model, "--target", self.path("small.yaml"), "-o",
                                 folder, expect=t.NO_FIT)
            self.assertRegex(done.err, r"patch_embed\.|block\.|relay|layer")
            self.assertRegex(done.err, rf"\b{small}\b")
            self.assertFalse(os.path.exists(folder))
            done = self.run_tool("estimate", *model[:-2], "--target", self.path("small.yaml"),
                                 "--json", expect=t.NO_FIT)
            self.assertIs(done.json()["fits"], False)

    def test_does_not_fit_says_what(self):
        text = self.good.replace("  synapse_bits: {value: 1048576",
                                 "  synapse_bits: {value: 3200")
        t.write_text(self.path("small.yaml"), text)
        done = self.run_tool("estimate", *t.model_arguments(CASE), "--target",
                             self.path("small.yaml"), expect=t.NO_FIT)
        self.assertRegex(done.err, r"patch_embed\.stage\d|block\.")
        self.assertIn("3200", done.err.replace(",", ""))

    def test_unpriced_objective(self):
        """loihi2 has no published energies: an objective that needs them is refused."""
        self.run_tool("compile", *t.case_arguments(CASE), "--target", "loihi2", "--objective",
                      "energy", "-o", self.path("d"), expect=t.NO_FIT, says="energy")
        self.assertFalse(os.path.exists(self.path("d")))
        self.compile(CASE, "loihi1", self.path("d"), "--objective", "energy")
        self.compile(CASE, "loihi1", self.path("d"), "--attention", "product", expect=t.NO_FIT,
                     says="product")
        self.compile(CASE, "loihi1", self.path("d"), "--system", "atlantis",
                     expect=t.USAGE, says=["atlantis", "kapoho-bay"])


class Json(t.ToolTest):
    """The keys of design.md section 8, in JSON that a strict reader takes."""

    def keys(self, report, keys):
        self.assertEqual(report["schema"], 1)
        missing = [k for k in keys.split() if k not in report]
        self.assertEqual(missing, [])

    def test_run(self):
        t.write_tensors(self.path("labels"), {"labels": np.array([8], np.int64)})
        report = self.run_tool("run", *t.case_arguments(CASE), "--input", INPUT, "--labels",
                               self.path("labels"), "--repeat", 3, "--json").json()
        self.keys(report, "images top1 seconds_per_image load_seconds peak_bytes ignored_tensors "
                          "engine_used")
        self.assertEqual(report["top1"], 1.0)
        self.assertGreater(report["peak_bytes"], 1 << 20)

    def test_folder(self):
        core = "id chip x y layers neurons neurons_limit in_axons in_axons_limit out_axons " \
               "out_axons_limit synapse_bits synapse_bits_limit"
        dynamic = " synaptic_events neuron_updates spikes_out messages hops energy_pj busy_ns"
        top = "target totals layers chips cores images latency_steps interval_steps unpriced"
        for target in ("loihi1", "loihi2"):
            folder = self.path(target)
            report = self.compile(CASE, target, folder, "--json").json()
            self.keys(report, top + " output attention")
            self.keys(t.json.loads(t.read_text(os.path.join(folder, "cost.json"))), top)
            for entry in report["cores"]:
                self.assertEqual([k for k in core.split() if k not in entry], [])
            report = self.run_tool("simulate", folder, "--input", INPUT, "--json").json()
            self.keys(report, top + " steps")
            for entry in report["cores"]:
                self.assertEqual([k for k in (core + dynamic).split() if k not in entry], [])
            for part in ("layers", "chips"):
                for entry in report[part]:
                    self.assertEqual([k for k in dynamic.split() if k not in entry], [])
            self.assertIn("schema", t.json.loads(t.read_text(os.path.join(folder,
                                                                          "mapping.json"))))
            t.write_tensors(self.path("labels"), {"labels": np.array([8], np.int64)})
            report = self.run_tool("verify", folder, "--input", INPUT, "--labels",
                                   self.path("labels"), "--json").json()
            self.keys(report, "images values_compared mismatches logit_mismatches first_mismatch "
                              "spikes_outside_windows spike_agreement top1_reference "
                              "top1_quantised top1_mapped engine_used")
            agreement = report["spike_agreement"]
            for entry in agreement["layers"] + [agreement["overall"]]:
                for key in ("teacher_forced", "free_running"):
                    self.assertTrue(0 <= entry[key] <= 1)
            self.assertGreater(agreement["overall"]["teacher_forced"], 0.99)
            self.keys(self.run_tool("check", folder, "--json").json(), "violations cores")

    def test_estimate_and_others(self):
        report = self.run_tool("estimate", *t.model_arguments(CASE), "--target", "loihi1",
                               "--json").json()
        self.keys(report, "target fits layers latency_steps interval_steps")
        for arguments in (["target", "list"], ["target", "show", "loihi2"], ["opt", "--list"],
                          ["target", "check", "loihi1"], ["opt", *t.model_arguments(CASE)],
                          ["fmt", os.path.join(t.SOURCE, "models", "spikformer_v2.spk")]):
            self.keys(self.run_tool(*arguments, "--json").json(), "command")

    def test_errors_leave_stdout_empty(self):
        done = self.run_tool("run", "spikformer_v3", "--json", expect=t.BAD_INPUT)
        self.assertEqual(done.out, "")


class FormatAndOpt(t.ToolTest):
    def models(self):
        for root, _, files in os.walk(os.path.join(t.SOURCE, "models")):
            for name in sorted(files):
                if name.endswith(".spk"):
                    yield os.path.join(root, name)

    def test_fmt(self):
        count = 0
        for path in self.models():
            self.run_tool("fmt", path, "--check")
            text = self.run_tool("fmt", path).out
            self.assertEqual(text, t.read_text(path))
            messy = self.path(os.path.basename(path))
            t.write_text(messy, text.replace("\n\t", "\n   ").replace(" = conv", "=conv"))
            self.run_tool("fmt", messy, "--check", expect=t.DIFFERENCE)
            self.run_tool("fmt", messy, "--in-place")
            self.assertEqual(t.read_text(messy), text)
            self.run_tool("fmt", messy, "--check")
            count += 1
        self.assertGreaterEqual(count, 6)
        t.write_text(self.path("bad.spk"), "model m( {")
        self.run_tool("fmt", self.path("bad.spk"), "--in-place", expect=t.BAD_INPUT)
        self.assertEqual(t.read_text(self.path("bad.spk")), "model m( {")

    def test_fmt_keeps_the_mode(self):
        path = self.path("m.spk")
        t.write_text(path, "model   m( ) {\n}\n")
        os.chmod(path, 0o640)
        if t.spikec("fmt", path, "--in-place").code == t.DONE:
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)

    def test_opt_round_trip(self):
        for case in t.golden_cases(mode="exact"):
            text = self.run_tool("opt", *t.model_arguments(case)).out
            t.write_text(self.path("x.sir"), text)
            again = self.run_tool("opt", self.path("x.sir"))
            self.assertEqual(again.out, text, case)
            self.assertEqual(self.run_tool("opt", self.path("x.sir"), "--json").json()["sir"], text)
            self.run_tool("opt", self.path("x.sir"), "--passes", "hoist-constant,cse,dce")
        self.compile(CASE, "loihi2", self.path("d"))
        for name in ("model.sir", "quantised.sir"):
            self.assertEqual(self.run_tool("opt", self.path("d", name)).out,
                             t.read_text(self.path("d", name)))

    def test_passes(self):
        model = ["opt", *t.case_arguments(CASE)]
        self.run_tool(*model, "--passes", "no-such-pass", expect=t.USAGE, says="no-such-pass")
        self.run_tool(*model, "--passes", "cse{", expect=t.USAGE)
        self.run_tool(*model, "--passes", "cse{colour=1}", expect=t.USAGE, says="colour")
        done = self.run_tool(*model, "--passes", "hoist-constant,fold-batchnorm,dce",
                             "--print-after", "all")
        self.assertEqual(done.out.count("// after "), 3)
        done = self.run_tool(*model, "--passes", "hoist-constant,cse", "--print-after", "cse")
        self.assertEqual(done.out.count("// after "), 1)
        self.run_tool(*model, "--passes", "cse", "--print-after", "csee", expect=t.USAGE,
                      says="csee")


if __name__ == "__main__":
    unittest.main(verbosity=2)
