"""layering: folders are the architecture. Includes point downwards only, third-party headers stay in
their rooms, file names are unique, files are short, nobody's machine shows in a path, and no object of
the library has state of its own. Every rule is also shown a tree that breaks it."""
import collections
import os
import re
import subprocess
import unittest

import spikec_tool as t

# What a room may include besides itself; design.md section 1. passes/map stands for its results.
ROOMS = {
    "include": (),
    "support": (),
    "ir": ("support",),
    "frontend": ("ir", "support"),
    "passes": ("ir", "support"),
    "backends": ("ir", "support", "passes/map"),
    "runtime": ("ir", "support"),
    "check": ("ir", "support"),
    "api": ("include", "support", "ir", "frontend", "passes", "backends", "runtime", "check"),
    "tools": ("include",),
}
# Headers made while building: by whom they may be included.
GENERATED = {"config.h": ("frontend", "passes", "api", "backends"),
             **{f"report_{part}.h": ("backends",) for part in
                ("base_js", "floorplan_js", "graph_js", "charts_js", "activity_js", "probes_js",
                 "tables_js", "main_js", "d3_js", "d3_licence", "css", "page_html",
                  "explore_js", "explore_html_part")},
             "new_model.h": ("api",), "commit.h": ("tools",),
             "brian_script.h": ("backends",), "spk_parser.tab.h": ("frontend",), "spk_lexer.lex.h": ("frontend",)}
# Third-party headers and the one room that may see each.
THIRD_PARTY = {"jansson.h": "support", "hdf5.h": "support", "zlib.h": "support", "png.h": "support",
               "jpeglib.h": "support", "jerror.h": "support",
               "pthread.h": "support", "yaml.h": "frontend", "metis.h": "passes",
               "scotch.h": "passes", "argp.h": "tools"}
LLVM = "backends/llvm"
LINES, COLUMNS = 700, 102  # 100, and two more where a closing mark would stand alone
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)
# In tests such paths may be the subject; /tmp alone is a place that a manual may name.
MACHINE = re.compile(r"(?<![\w.$})/-])/(?:work|root|home)/")
TEMPORARY = re.compile(r"(?<![\w.$})/-])/tmp/")
TEXTS = (".c", ".h", ".l", ".y", ".py", ".spk", ".yaml", ".md", ".txt", ".def", ".cmake", ".in",
         ".json", ".sh", "")
SKIPPED = {".git", "build", "__pycache__", "data", "corpus", "logs", "checkpoints"}


def files_of(tree):
    """Paths relative to the tree, of everything that is ours."""
    for folder, folders, names in os.walk(tree):
        folders[:] = sorted(f for f in folders
                            if f not in SKIPPED and not f.startswith(("build-", ".cache")))
        for name in sorted(n for n in names if n not in SKIPPED):  # .git is a file in a worktree
            yield os.path.relpath(os.path.join(folder, name), tree)


def is_source(path):
    return path.endswith((".c", ".h", ".l", ".y", ".def"))


def room_of(path):
    return path.split(os.sep)[0]


def wrong_includes(tree):
    out = []
    for path in files_of(tree):
        room = room_of(path)
        if room not in ROOMS or not is_source(path):
            continue
        for kind, name in INCLUDE.findall(t.read_text(os.path.join(tree, path))):
            if not include_allowed(path, room, kind, name):
                out.append(f"{path} includes {name}")
    return out


def include_allowed(path, room, kind, name):
    if name in GENERATED:
        return room in GENERATED[name]
    if kind == "<":
        if name.startswith("llvm-c/"):
            return path.startswith(LLVM + os.sep)
        return THIRD_PARTY.get(name, room) == room
    if room == "include" and "/" not in name:  # public headers include each other where they are installed
        return True
    if name.startswith("spikec/"):  # the umbrella header by its installed name
        return "include" in ROOMS[room]
    return any(name.startswith(r + "/") for r in (room,) + ROOMS[room])


def double_names(tree):
    places = collections.defaultdict(list)
    for path in files_of(tree):
        if path.endswith((".c", ".h", ".l", ".y", ".py")):
            places[os.path.basename(path)].append(path)
    return [" and ".join(p) for p in places.values() if len(p) > 1]


def long_files(tree):
    out = []
    for path in files_of(tree):
        if not is_source(path) and not path.endswith(".py"):
            continue
        lines = t.read_text(os.path.join(tree, path)).split("\n")
        if len(lines) - 1 > LINES:
            out.append(f"{path}: {len(lines) - 1} lines")
        for i, line in enumerate(lines, 1):
            if room_of(path) in ROOMS and is_source(path) and \
                    len(line.expandtabs(4)) > COLUMNS:
                out.append(f"{path}:{i}: {len(line.expandtabs(4))} columns")
    return out


def headless_files(tree):
    """Sources that do not open with a comment on what they are."""
    return [path for path in files_of(tree) if room_of(path) in ROOMS and path.endswith((".c", ".h"))
            and not t.read_text(os.path.join(tree, path)).startswith("/*")]


def machine_paths(tree):
    out = []
    for path in files_of(tree):
        if os.path.splitext(path)[1] not in TEXTS or room_of(path) == "tests":
            continue
        try:
            text = t.read_text(os.path.join(tree, path))
        except UnicodeDecodeError:
            continue
        for i, line in enumerate(text.split("\n"), 1):
            if MACHINE.search(line) or (is_source(path) and TEMPORARY.search(line)):
                out.append(f"{path}:{i}: {line.strip()[:80]}")
    return out


def mutable_objects(archive):
    """Objects in sections that can be written: .data, .bss, common, thread-local."""
    out, member = [], "?"
    done = subprocess.run(["objdump", "-t", archive], stdout=subprocess.PIPE, check=True)
    for line in done.stdout.decode().splitlines():
        if "file format" in line:
            member = line.split(":")[0]
        fields = line.split("\t")
        if len(fields) != 2:
            continue
        left, (size, name) = fields[0].split(), fields[1].split(None, 1)
        section = left[-1]
        writable = section == "*COM*" or (
            re.match(r"\.(data|bss|tdata|tbss)(\.|$)", section) and
            not section.startswith(".data.rel.ro"))
        if writable and int(size, 16) > 0 and " d " not in f" {' '.join(left[1:-1])} ":
            out.append((os.path.basename(archive), member, name.strip()))
    return out


class Tree(t.ToolTest):
    def clean(self, rule):
        self.assertEqual(rule(t.SOURCE), [])

    def test_includes(self):
        self.clean(wrong_includes)

    def test_names(self):
        self.clean(double_names)

    def test_lengths(self):
        self.clean(long_files)

    def test_opening_comments(self):
        self.clean(headless_files)

    def test_machines(self):
        self.clean(machine_paths)

    def test_everything_was_seen(self):
        seen = {room_of(p) for p in files_of(t.SOURCE) if p.endswith(".c")}
        self.assertEqual(set(ROOMS) - seen, {"include"})
        self.assertGreater(sum(1 for p in files_of(t.SOURCE) if is_source(p)), 150)

    def make(self, **files):
        for path, text in files.items():
            path = self.path(path.replace("__", os.sep) + ".c")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            t.write_text(path, text)

    def test_broken_includes_are_found(self):
        for path, include, good in (
                ("support/a", '"ir/ir.h"', False), ("ir/a", '"frontend/model.h"', False),
                ("runtime/a", '"passes/pass.h"', False), ("check/a", '"passes/map/map.h"', False),
                ("check/a", '"backends/chip/emit.h"', False), ("passes/a", '"runtime/sim.h"', False),
                ("backends/a", '"passes/pass.h"', False), ("backends/a", '"passes/map/map.h"', True),
                ("tools/spikec/a", '"api/api_internal.h"', False), ("ir/a", "<hdf5.h>", False),
                ("tools/spikec/a", '"support/alloc.h"', False), ("ir/a", "<jansson.h>", False),
                ("backends/chip/a", "<llvm-c/Core.h>", False), ("ir/a", '"ir.h"', False),
                ("backends/llvm/a", "<llvm-c/Core.h>", True), ("ir/a", '"../ir/ir.h"', False),
                ("include/spikec/a", '"b.h"', True), ("include/spikec/a", '"ir/ir.h"', False),
                ("ir/a", '"support/diag.h"', True), ("api/a", '"check/check.h"', True)):
            self.make(**{path: f"/* x */\n#include {include}\n"})
            self.assertEqual(wrong_includes(self.dir) == [], good, (path, include))
            os.remove(self.path(path + ".c"))

    def test_other_breaches_are_found(self):
        self.make(ir__a="int x;\n", api__a="/* x */\n" + "int x;\n" * LINES,
                  passes__b="/* " + "x" * 120 + " */\n", check__c="/* */ char *p = \"/home/x\";\n")
        self.assertEqual(double_names(self.dir), ["api/a.c and ir/a.c"])
        self.assertEqual(headless_files(self.dir), ["ir/a.c"])
        self.assertEqual(long_files(self.dir), [f"api/a.c: {LINES + 1} lines",
                                                "passes/b.c:1: 126 columns"])
        self.assertEqual(len(machine_paths(self.dir)), 1)


# The counters of fault injection, support/fault.c: the one exception.
ALLOWED = {("libspikec_support.a", "fault_counters")}


class Objects(t.ToolTest):
    def archives(self):
        return sorted(os.path.join(t.BUILD, n) for n in os.listdir(t.BUILD)
                      if n.startswith("libspikec_") and n.endswith(".a"))

    def setUp(self):
        super().setUp()
        if t.INSTRUMENTED:
            self.skipTest("sanitizers and coverage add their own variables to every object")

    def test_no_mutable_globals(self):
        self.assertGreaterEqual(len(self.archives()), 8)
        found = [f for a in self.archives() for f in mutable_objects(a)
                 if (f[0], f[2]) not in ALLOWED]
        self.assertEqual(found, [])

    def test_mutable_globals_are_found(self):
        source = "static int a = 1; int b; static _Thread_local int c; " \
                 "const int d = 4; extern const int *const e; const int *const e = &d; " \
                 "static const char *const names[] = {\"x\"}; static const char *pointers[] = {\"y\"};" \
                 "int f(void) { static int g; return ++g + a++ + c++ + b + *names[0] + " \
                 "*pointers[0]; }\n"
        t.write_text(self.path("x.c"), source)
        compiler = os.environ.get("CC", "cc")
        for flags in ("-fPIC", "-fcommon"):
            subprocess.run([compiler, flags, "-c", self.path("x.c"), "-o", self.path("x.o")],
                           check=True)
            subprocess.run(["ar", "rcs", self.path("x.a"), self.path("x.o")], check=True)
            names = {n.split(".")[0] for _, _, n in mutable_objects(self.path("x.a"))}
            self.assertEqual(names, {"a", "b", "c", "g", "pointers"}, flags)


if __name__ == "__main__":
    unittest.main(verbosity=2)
