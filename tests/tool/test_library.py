"""library: the shared library exports what the headers declare and nothing else, and neither prints nor
exits; the headers are C and C++; the package for CMake and for pkg-config builds the examples against an
installed tree that was moved, and they say what the tool says."""
import glob
import json
import os
import re
import shutil
import subprocess
import unittest

import spikec_tool as t

HEADERS = [os.path.join(t.SOURCE, "include", "spikec", n) for n in ("spikec.h", "objects.h")]
EXAMPLES = os.path.join(t.SOURCE, "examples", "library")
CC, CXX = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
# What would print, or end the program that has loaded the library.
FORBIDDEN = {"abort", "exit", "_exit", "_Exit", "quick_exit", "__assert_fail", "printf", "vprintf", "puts",
             "putchar", "perror", "psignal", "stderr", "fprintf", "vfprintf", "fputs", "fputc", "putc", "signal",
             "sigaction", "atexit", "setlocale", "err", "errx", "warn", "warnx", "error", "__printf_chk",
             "__fprintf_chk", "__vfprintf_chk", "syslog", "srand", "rand", "chdir", "setenv", "putenv"}


def run(*command, expect=0, **more):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=600, check=False, **more)
    if done.returncode != expect:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def declared():
    """Functions of the headers, told apart from mentions in comments."""
    text = "".join(re.sub(r"/\*.*?\*/", " ", t.read_text(h), flags=re.S) for h in HEADERS)
    return set(re.findall(r"\b(spk_\w+)\s*\(", text))


def symbols(library, *options):
    """{name without version} of nm -D."""
    return {line.split()[-1].split("@")[0] for line in run("nm", "-D", *options, library).splitlines()}


def library_of(folder):
    return os.path.join(folder, "libspikec.so")


class Symbols(t.ToolTest):
    def setUp(self):
        super().setUp()
        if t.INSTRUMENTED:
            self.skipTest("sanitizers and coverage add symbols of their own")

    def test_exports(self):
        found = symbols(library_of(t.BUILD), "--defined-only")
        self.assertGreater(len(declared()), 80)
        self.assertEqual(found, declared())

    def test_soname(self):
        said = run("readelf", "-d", library_of(t.BUILD))
        major, minor, _ = self.run_tool("--version").out.split()[1].split(".")
        self.assertIn(f"Library soname: [libspikec.so.{major}.{minor}]", said)

    def test_needs_nothing_that_prints_or_exits(self):
        needed = symbols(library_of(t.BUILD), "--undefined-only")
        self.assertGreater(len(needed), 100)
        self.assertEqual(needed & FORBIDDEN, set())

    def test_the_tool_needs_nothing_else(self):
        """Its objects call what the headers declare, and nothing else of the library."""
        objects = glob.glob(os.path.join(t.BUILD, "CMakeFiles", "spikec.dir", "tools", "spikec", "*.o"))
        self.assertGreater(len(objects), 4)
        needed = set().union(*(set(re.findall(r" U (\w+)", run("nm", o))) for o in objects))
        own = set().union(*(set(re.findall(r" [TtDdRrBb] (\w+)", run("nm", o))) for o in objects))
        rooms = set()
        for archive in glob.glob(os.path.join(t.BUILD, "libspikec_*.a")):
            rooms |= set(re.findall(r" [TDRB] (\w+)", run("nm", archive)))
        used = (needed - own) & rooms
        self.assertGreater(len(used), 25)
        self.assertEqual(used - declared(), set())

    def test_every_struct_of_objects_says_its_size(self):
        text = re.sub(r"/\*.*?\*/", " ", t.read_text(HEADERS[1]), flags=re.S)
        structs = re.findall(r"struct (spk_\w+) \{\s*(\w+) (\w+);", text)
        self.assertGreater(len(structs), 12)
        self.assertEqual({(kind, first) for _, kind, first in structs}, {("size_t", "struct_size")})


class Headers(t.ToolTest):
    """Each header alone, as the C and C++ that it says it is."""

    def compile(self, compiler, standard, language, text):
        path = self.path("x." + language)
        t.write_text(path, text)
        more = "-Wstrict-prototypes" if language == "c" else "-Wold-style-cast"
        run(compiler, f"-std={standard}", *WARNINGS, more, "-I", os.path.join(t.SOURCE, "include"), "-c", path,
            "-o", self.path("x.o"))

    def test_c(self):
        for header in ("spikec", "objects"):
            for standard in ("c99", "c11", "c17"):
                self.compile(CC, standard, "c", f"#include <spikec/{header}.h>\nextern spk_model *model;\n")

    @unittest.skipUnless(shutil.which(CXX), "there is no C++ compiler")
    def test_cxx(self):
        uses = ("int main() { spk_batch b{}; b.struct_size = sizeof b; spk_model_info i{}; "
                "i.struct_size = sizeof i; return spk_model_describe(nullptr, &i) + int(b.n_record); }\n")
        for header in ("spikec", "objects"):
            for standard in ("c++11", "c++17", "c++20"):
                self.compile(CXX, standard, "cpp", f"#include <spikec/{header}.h>\n{uses}")


class Tree(t.ToolTest):
    """Against a tree that was installed and then moved."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        first = os.path.join(cls.class_dir, "first")
        run("cmake", "--install", t.BUILD, "--prefix", first)
        cls.tree = os.path.join(cls.class_dir, "moved", "tree")
        os.makedirs(os.path.dirname(cls.tree))
        os.rename(first, cls.tree)
        cls.tool = os.path.join(cls.tree, "bin", "spikec")
        cls.libraries, = {os.path.dirname(p) for p in
                          glob.glob(os.path.join(cls.tree, "lib*", "**", "libspikec.so"), recursive=True)}

    def setUp(self):
        super().setUp()
        if t.INSTRUMENTED:
            self.skipTest("programs without the sanitizers cannot load a library with them")

    def run_example(self, program, *arguments, expect=0):
        return run(program, *arguments, expect=expect,
                   env={**os.environ, "LD_LIBRARY_PATH": self.libraries, "SPIKEC_MODELS": "",
                        "SPIKEC_TARGETS": ""})

    @unittest.skipUnless(shutil.which(CXX), "there is no C++ compiler")
    def test_cmake_package(self):
        """All examples, in a build of their own; what they say is what the tool says."""
        build = self.path("build")
        source = os.path.join(self.tree, "share", "doc", "spikec", "examples", "library")
        run("cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={self.tree}",
            f"-DCMAKE_C_FLAGS={' '.join(WARNINGS)}", f"-DCMAKE_CXX_FLAGS={' '.join(WARNINGS)}")
        run("cmake", "--build", build)
        model = self.write_model()
        said = self.run_example(os.path.join(build, "walk_cores"), model, "loihi2")
        out = self.path("out")
        cost = self.run_tool("compile", model, "--target", "loihi2", "-o", out, "--json",
                             tool=self.tool).json()
        cores = re.findall(r"^core (\d+) at chip (\d+) \((\d+), (\d+)\): (\d+) of", said, re.M)
        self.assertEqual([[int(v) for v in c] for c in cores],
                         [[c["id"], c["chip"], c["x"], c["y"], c["neurons"]] for c in cost["cores"]])
        self.check_batch(os.path.join(build, "run_batch"), model)
        self.check_progress(os.path.join(build, "watch_progress"), model)
        facts = self.run_example(os.path.join(build, "chip_facts"), "loihi2")
        self.assertRegex(facts, r"(?m)^limits\.neurons = 8192 compartments \(assumed\)$")
        facts = self.run_example(os.path.join(build, "chip_facts"), "loihi9", expect=t.BAD_INPUT)
        self.assertIn("E0512: there is no target named 'loihi9'", facts)

    def write_model(self):
        """The zoo's trained model under another name: it must be found in this tree."""
        models = os.path.join(self.tree, "share", "spikec", "models")
        shutil.copy(os.path.join(models, "spikformer_v2_fashion.spk"), os.path.join(models, "mine.spk"))
        return "mine"

    def check_batch(self, program, model):
        import numpy as np
        images = np.array([[(16 * i + k) % 256 for k in range(28 * 28)] for i in range(3)], dtype=np.uint8)
        t.write_tensors(self.path("x.safetensors"), {"input": images.reshape(3, 1, 28, 28)})
        self.run_tool("run", model, "--input", self.path("x.safetensors"), "--out", self.path("y.safetensors"),
                      "--spikes", self.path("s.safetensors"), tool=self.tool)
        logits = t.read_tensors(self.path("y.safetensors"))["logits"]
        said = self.run_example(program, model, 3)
        self.assertEqual([int(c) for c in re.findall(r"class (\d+)", said)], logits.argmax(axis=1).tolist())
        name, count = re.search(r"^(\S+): (\d+) spikes$", said, re.M).groups()
        spikes = t.read_tensors(self.path("s.safetensors"))[name]
        self.assertEqual(int(count), int(spikes.astype(np.int64).sum()))

    def check_progress(self, program, model):
        said = self.run_example(program, model, "loihi2").splitlines()
        self.assertGreater(len(said), 20)
        self.assertTrue(all(re.fullmatch(r"[a-z ]+ \d+/\d+", line) for line in said), said)
        stopped = self.run_example(program, model, "loihi2", 3, expect=7).splitlines()
        self.assertRegex(stopped[-1], r"^cancelled after \d+ reports$")
        self.assertLess(len(stopped), len(said) // 2)

    @unittest.skipUnless(shutil.which("pkg-config"), "pkg-config is not installed")
    def test_pkg_config(self):
        where = {**os.environ, "PKG_CONFIG_PATH": os.path.join(self.libraries, "pkgconfig")}
        flags = run("pkg-config", "--cflags", "--libs", "spikec", env=where).split()
        self.assertEqual(run("pkg-config", "--modversion", "spikec", env=where).strip(),
                         self.run_tool("--version").out.split()[1])
        for flag in flags:
            if flag[:2] in ("-I", "-L"):
                self.assertTrue(os.path.realpath(flag[2:]).startswith(os.path.realpath(self.tree)), flag)
        run(CC, *WARNINGS, os.path.join(self.tree, "share/doc/spikec/examples/library/chip_facts.cpp")
            .replace("chip_facts.cpp", "walk_cores.c"), *flags, "-o", self.path("walk"))
        said = self.run_example(self.path("walk"), "spikformer_v2_fashion", "engine-mesh")
        self.assertRegex(said, r"(?m)^\d+ cores, \d+ neurons, latency \d+ steps$")

    def test_silent(self):
        """Nothing of the library itself appears on either stream, whatever goes wrong."""
        t.write_text(self.path("broken.spk"), "model x { inpu")
        t.write_text(self.path("x.c"), '#include <spikec/spikec.h>\nint main(int n, char **a) { '
                     'spk_context *c = 0; spk_model *m = 0; struct spk_model_options o = {0}; '
                     'o.model = n > 1 ? a[1] : 0; spk_context_create(0, &c); '
                     'int s = spk_model_load(c, &o, &m); spk_model_destroy(m); spk_context_destroy(c); '
                     'return s; }\n')
        run(CC, self.path("x.c"), "-I", os.path.join(self.tree, "include"), "-L", self.libraries, "-lspikec",
            "-o", self.path("x"))
        t.write_bytes(self.path("noise.nir"), b"\x89HDF\r\n\x1a\n" + bytes(range(200)))
        for model in ("broken.spk", "noise.nir", "missing.spk"):
            expect = t.SYSTEM if model == "missing.spk" else t.BAD_INPUT
            self.assertEqual(self.run_example(self.path("x"), self.path(model), expect=expect), "", model)


if __name__ == "__main__":
    unittest.main()
