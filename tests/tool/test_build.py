"""build: networks as libraries, objects and text. What they compute is compared with `spikec run`, byte
for byte; they must allocate nothing, call nothing, and keep to their workspace."""
import ctypes
import glob
import os
import re
import shutil
import subprocess
import threading

import numpy as np

import mini_model
import spikec_tool as t
from test_engines import has_native, processors

EXAMPLE = os.path.join(t.SOURCE, "examples", "native", "classify.c")
CC = os.environ.get("CC", "cc")


class Library:
    """A built library, through its header and the C calling convention."""

    def __init__(self, path):
        self.header = t.read_text(re.sub(r"\.so$", ".h", path))
        self.prefix = re.search(r"^#define (\w+)_CLASSES", self.header, re.M).group(1)
        self.function = getattr(ctypes.CDLL(path), self.prefix.lower() + "_run")
        self.quantised = "uint64_t *wraps" in self.header
        self.guard = 4096

    def number(self, name):
        return int(re.search(rf"^#define {self.prefix}_{name} (\d+)", self.header, re.M).group(1))

    def run(self, images, logits=None, shift=0):
        """(returned, logits, wraps); fails where a byte beside the workspace was written."""
        images = np.ascontiguousarray(images, np.float32)
        classes, size = self.number("CLASSES"), self.number("WORKSPACE_BYTES")
        if logits is None:
            logits = np.full((len(images), classes), 7.0, np.float32)
        memory = np.full(size + 2 * self.guard + shift, 0xA5, np.uint8)
        wraps = ctypes.c_uint64(99)
        start = memory.ctypes.data + self.guard + shift
        arguments = [ctypes.c_void_p(images.ctypes.data), ctypes.c_size_t(len(images)),
                     ctypes.c_void_p(logits.ctypes.data), ctypes.c_void_p(start)]
        if self.quantised:
            arguments.append(ctypes.byref(wraps))
        returned = self.function(*arguments)
        beside = np.concatenate([memory[:self.guard + shift], memory[self.guard + shift + size:]])
        assert (beside == 0xA5).all(), "written outside of the workspace"
        return returned, logits, wraps.value


class Build(t.ToolTest):
    def setUp(self):
        super().setUp()
        if not has_native():
            self.skipTest("this build has no native code")

    def build(self, *arguments, name="libnet.so", **more):
        done = self.run_tool("build", *arguments, "-o", self.path(name), **more)
        return done

    def logits(self, *arguments):
        self.run_tool("run", *arguments, "--out", self.path("y"))
        return t.read_tensors(self.path("y"))["logits"]

    def images(self, case):
        return t.read_tensors(t.golden(case, "input.safetensors"))["input"]

    def check(self, library, images, want, wraps=None):
        returned, got, wrapped = Library(library).run(images)
        self.assertEqual(returned, 0)
        self.assertEqual(got.tobytes(), want.tobytes())
        if wraps is not None:
            self.assertEqual(wrapped, wraps)


class Libraries(Build):
    def test_golden_cases(self):
        for i, case in enumerate(t.golden_cases()):
            cpu = processors()[i % len(processors())]
            name = f"lib{i}.so"
            self.build(*t.case_arguments(case), "--target-cpu", cpu, name=name)
            images = self.images(case)
            want = self.logits(*t.case_arguments(case), "--input",
                               t.golden(case, "input.safetensors"))
            self.check(self.path(name), images, want)
            numbers = Library(self.path(name)).number
            self.assertEqual(numbers("INPUT_FLOATS"), images[0].size)
            self.assertEqual(numbers("INPUT_FRAMES") * numbers("INPUT_CHANNELS") *
                             numbers("INPUT_HEIGHT") * numbers("INPUT_WIDTH"), images[0].size)

    def test_integers(self):
        """--quantised T is level Q of what `compile --target T` makes; so is --level Q of DIR."""
        for case in ("v2-tiny-exact", "v1-tiny-dvs-exact"):
            for target in ("loihi1", "loihi2"):
                folder, tag = self.path(f"{case}.{target}"), f"{case}.{target}"
                self.compile(case, target, folder)
                want = self.logits(folder, "--level", "Q", "--input",
                                   t.golden(case, "input.safetensors"))
                self.build(*t.case_arguments(case), "--quantised", target, name=f"libq.{tag}.so")
                self.check(self.path(f"libq.{tag}.so"), self.images(case), want, wraps=0)
                self.build(folder, "--level", "Q", name=f"libd.{tag}.so")
                self.check(self.path(f"libd.{tag}.so"), self.images(case), want, wraps=0)
                self.build(folder, name=f"libr.{tag}.so")
                self.check(self.path(f"libr.{tag}.so"), self.images(case),
                           self.logits(folder, "--input", t.golden(case, "input.safetensors")))

    def test_calibrated(self):
        case = "v2-tiny-float"
        calibrate = ["--calibrate", t.golden(case, "input.safetensors"), "--calibrate-limit", 1]
        self.compile(case, "loihi1", self.path("net"), *calibrate)
        self.build(*t.case_arguments(case), "--quantised", "loihi1", *calibrate)
        self.check(self.path("libnet.so"), self.images(case),
                   self.logits(self.path("net"), "--level", "Q", "--input",
                               t.golden(case, "input.safetensors")))

    def test_wraps(self):
        model, images = mini_model.write(self.dir, "events"), mini_model.images("events", 3)
        t.write_tensors(self.path("calm"), {"input": images})
        t.write_tensors(self.path("loud"), {"input": images * 2000})
        self.run_tool("synth", model, "--rate", 0.2, "-o", self.path("w"), "--input",
                      self.path("calm"))
        self.run_tool("compile", model, "--weights", self.path("w"), "--target", "loihi2", "-o",
                      self.path("net"))
        report = self.run_tool("run", self.path("net"), "--level", "Q", "--input",
                               self.path("loud"), "--out", self.path("y"), "--json").json()
        self.assertGreater(report["wraps"], 0)
        self.build(model, "--weights", self.path("w"), "--quantised", "loihi2")
        self.check(self.path("libnet.so"), images * 2000, t.read_tensors(self.path("y"))["logits"],
                   wraps=report["wraps"])

    def test_calls(self):
        """Batches of any size, any alignment, several at a time; nothing remains of a call."""
        case = "v2-tiny-batch3-exact"
        self.build(*t.case_arguments(case))
        library, images = Library(self.path("libnet.so")), self.images(case)
        images = np.concatenate([images, images[::-1], images])
        t.write_tensors(self.path("x"), {"input": images})
        want = self.logits(*t.case_arguments(case), "--input", self.path("x"))
        for shift in (0, 1, 33, 63):
            self.assertEqual(library.run(images, shift=shift)[1].tobytes(), want.tobytes())
        self.assertEqual(library.run(images[:0])[0], 0)
        for i, image in enumerate(images):
            self.assertEqual(library.run(image[None])[1].tobytes(), want[i].tobytes())
        got = [None] * 4
        threads = [threading.Thread(target=lambda i=i: got.__setitem__(i, library.run(images)[1]))
                   for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({g.tobytes() for g in got}, {want.tobytes()})

    def test_bad_input(self):
        """Refused as `run` refuses it, and then nothing is computed."""
        for case, bad in (("v2-tiny-exact", (np.nan, np.inf, -np.inf)),
                          ("v2-tiny-events-exact", (np.nan, -1.0, 0.5, 2.0 ** 24 + 2, 1e30))):
            self.build(*t.case_arguments(case))
            os.rename(self.path("libnet.so"), self.path(f"lib{case}.so"))
            os.rename(self.path("libnet.h"), self.path(f"lib{case}.h"))
            library, images = Library(self.path(f"lib{case}.so")), np.array(self.images(case))
            self.assertEqual(library.run(images)[0], 0)
            for value in bad:
                images.flat[-1] = value
                returned, logits, _ = library.run(images)
                self.assertEqual(returned, 1, value)
                self.assertTrue((logits == 7.0).all())
                t.write_tensors(self.path("x"), {"input": images})
                for engine in ("reference", "native"):
                    self.run_tool("run", *t.case_arguments(case), "--input", self.path("x"),
                                  "--engine", engine, expect=t.BAD_INPUT)

    def test_it_calls_nothing(self):
        """No undefined symbol, one exported: no allocation, no library, no state."""
        for name in ("libnet.so", "libnet.o"):
            self.build(*t.case_arguments("v1-tiny-exact"), name=name)
            lines = subprocess.run(["nm", *(["-D"] if name.endswith("so") else []),
                                    self.path(name)], capture_output=True, text=True,
                                   check=True).stdout.splitlines()
            symbols = [line.split() for line in lines]
            self.assertEqual([s for s in symbols if "U" in s], [], lines)
            self.assertEqual([s[-1] for s in symbols if "T" in s], ["spikformer_v1_imagenet_run"])
            self.assertEqual([s for s in symbols if s[-2] in "bBdDcC"], [], lines)

    def test_same_bytes(self):
        for name in ("a.so", "a.o", "a.ll"):
            files = []
            for threads in (1, 2):
                self.build(*t.case_arguments("v2-tiny-exact"), "--target-cpu", "generic",
                           "--threads", threads, name=name)
                files.append(t.read_bytes(self.path(name)) + t.read_bytes(self.path("a.h")))
            self.assertEqual(files[0], files[1], name)


class Programs(Build):
    """The example program, from every kind of output."""

    def pictures(self):
        rng = np.random.default_rng(4)
        images = rng.integers(0, 256, size=(19, 28, 28)).astype(np.uint8)
        images[3:9] //= 7
        t.write_idx(self.path("images.idx"), images)
        return self.path("images.idx")

    def compile_c(self, *arguments):
        subprocess.run([CC, "-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-pedantic",
                        "-Werror", "-I", self.dir, *arguments, "-o", self.path("classify")],
                       check=True)

    def check_example(self, *level):
        pictures = self.pictures()
        want = self.logits("spikformer_v2_fashion" if not level else self.path("net"), *level,
                           "--input", pictures)
        out = subprocess.run([self.path("classify"), pictures], capture_output=True, text=True,
                             check=True).stdout.splitlines()
        self.assertEqual(len(out), 19)
        for i, line in enumerate(out):
            answer, numbers = line.split(";")
            self.assertEqual(answer, f"image {i}: class {want[i].argmax()}")
            self.assertEqual(np.array(numbers.split(), np.float32).tobytes(), want[i].tobytes())

    def test_library(self):
        self.build("spikformer_v2_fashion", name="libfashion.so")
        self.compile_c(EXAMPLE, self.path("libfashion.so"), f"-Wl,-rpath,{self.dir}")
        self.check_example()

    def test_object(self):
        self.build("spikformer_v2_fashion", "--target-cpu", "generic", name="libfashion.o")
        self.compile_c(EXAMPLE, self.path("libfashion.o"))
        self.check_example()

    def test_text(self):
        found = sorted(glob.glob("/usr/lib/llvm-*/bin/llc")) or [shutil.which("llc")]
        if not found[0]:
            self.skipTest("there is no llc")
        self.build("spikformer_v2_fashion", name="libfashion.ll")
        subprocess.run([found[0], "-relocation-model=pic", "-filetype=obj",
                        self.path("libfashion.ll"), "-o", self.path("text.o")], check=True)
        self.compile_c(EXAMPLE, self.path("text.o"))
        self.check_example()

    def test_header_in_cpp(self):
        """Twice, in C++."""
        if shutil.which("c++") is None:
            self.skipTest("there is no c++")
        self.build("spikformer_v2_fashion", name="libfashion.o")
        t.write_text(self.path("x.cpp"), '#include "libfashion.h"\n#include "libfashion.h"\n'
                     "int main() { return spikformer_v2_fashion_run(nullptr, 0, nullptr, new char["
                     "SPIKFORMER_V2_FASHION_WORKSPACE_BYTES]); }\n")
        subprocess.run(["c++", "-Wall", "-Wextra", "-pedantic", "-Werror", self.path("x.cpp"),
                        self.path("libfashion.o"), "-o", self.path("x")], check=True)
        subprocess.run([self.path("x")], check=True)


class BuildErrors(Build):
    def refuse(self, *arguments, says, expect=t.USAGE, **more):
        self.run_tool("build", *arguments, expect=expect, says=says, **more)

    def test_options(self):
        case = t.case_arguments("v2-tiny-exact")
        self.refuse(*case, says="-o NAME.so")
        for name in ("net", "net.a", "net.dll", ".so", "net.so.1"):
            self.refuse(*case, "-o", self.path(name), says=["E0748", "NAME.so, NAME.o or NAME.ll"])
        self.refuse(*case, "-o", self.path("n.o"), "--target-cpu", "pentium",
                    says=["E0745", "x86-64-v3" if os.uname().machine == "x86_64" else "generic"])
        self.refuse(*case, "-o", self.path("n.o"), "--calibrate", "x", says="--quantised")
        self.refuse(*case, "-o", self.path("n.o"), "--level", "Q", says="E0913")
        self.refuse(*case, "-o", self.path("n.o"), "--quantised", "nowhere", says="nowhere",
                    expect=t.BAD_INPUT)
        self.compile("v2-tiny-exact", "loihi1", self.path("net"))
        self.refuse(self.path("net"), "-o", self.path("n.o"), "--quantised", "loihi1",
                    says="--level Q")
        self.assertEqual(sorted(os.listdir(self.dir)), ["net"])

    def test_no_llvm(self):
        """Named, with the package that has it; all else works."""
        env = {"SPIKEC_LLVM": "libLLVM-of-nowhere.so"}
        case = t.case_arguments("v2-tiny-exact")
        says = ["E0740", "libLLVM-of-nowhere.so", "libllvm14"]
        source = ["--input", t.golden("v2-tiny-exact", "input.safetensors")]
        self.refuse(*case, "-o", self.path("n.o"), says=says, env=env)
        self.run_tool("run", *case, *source, "--engine", "native", expect=t.USAGE, says=says,
                      env=env)
        self.run_tool("run", *case, *source, env=env)
        wrong = {"SPIKEC_LLVM": "libm.so.6"}
        self.refuse(*case, "-o", self.path("n.o"), says=["E0740", "LLVM 14 or 19.1"], env=wrong)

    def test_no_linker(self):
        case = t.case_arguments("v2-tiny-exact")
        self.refuse(*case, "-o", self.path("n.so"), says=["E0749", "NAME.o"],
                    env={"PATH": self.dir})
        self.run_tool("build", *case, "-o", self.path("n.o"), env={"PATH": self.dir})
        t.write_text(self.path("cc"), "#!/bin/sh\necho no room >&2\nexit 3\n")
        os.chmod(self.path("cc"), 0o755)
        self.refuse(*case, "-o", self.path("n.so"), says=["E0749", "no room"], expect=t.SYSTEM,
                    env={"PATH": self.dir})
        self.assertEqual(sorted(os.listdir(self.dir)), ["cc", "n.h", "n.o"])

    def test_only_ld(self):
        ld = shutil.which("ld")
        if ld is None:
            self.skipTest("there is no ld")
        os.makedirs(self.path("bin"))
        os.symlink(ld, self.path("bin", "ld"))
        case = "v2-tiny-exact"
        self.build(*t.case_arguments(case), env={"PATH": self.path("bin")})
        self.check(self.path("libnet.so"), self.images(case), self.logits(
            *t.case_arguments(case), "--input", t.golden(case, "input.safetensors")))

    def test_old_files_stay(self):
        case = t.case_arguments("v2-tiny-exact")
        t.write_text(self.path("n.so"), "old")
        self.refuse(*case, "-o", self.path("n.so"), says="E0749", env={"PATH": "/nowhere"})
        self.assertEqual(t.read_text(self.path("n.so")), "old")
        self.refuse(*case, "-o", self.path("no", "n.o"), says="no", expect=t.SYSTEM)


if __name__ == "__main__":
    import unittest
    unittest.main(verbosity=2)
