"""install: the tree that cmake --install makes and the Debian package work from any place; man pages
and completion scripts name every option of every --help; syntax files know the words of the lexers;
doctor, init and target new."""
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import unittest

import spikec_tool as t

CHIP = os.path.join(t.SOURCE, "backends", "targets", "loihi2.yaml")


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=300, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def commands():
    return run(t.TOOL, "completion", "commands").split()


def help_options(command):
    """{"--name" and "-x"} of --help"""
    found = set()
    for line in run(t.TOOL, command, "--help").splitlines():
        if re.match(r" +-", line):
            found |= set(re.findall(r"(?<![\w-])--?[a-z?][a-z-]*(?=[=,\s]|$)", line.strip().split("  ")[0]))
    return found


class Tree(t.ToolTest):
    """cmake --install into a scratch prefix."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        first = os.path.join(cls.class_dir, "first")
        run("cmake", "--install", t.BUILD, "--prefix", first)
        cls.tree = os.path.join(cls.class_dir, "moved", "tree")
        os.makedirs(os.path.dirname(cls.tree))
        os.rename(first, cls.tree)  # an installed tree may be moved
        cls.tool = os.path.join(cls.tree, "bin", "spikec")

    def test_models_and_targets_of_the_tree(self):
        """Names that are only in this tree, and a model that is another one there."""
        share = os.path.join(self.tree, "share", "spikec")
        models = os.path.join(share, "models")
        shutil.copy(os.path.join(models, "spikformer_v2_fashion.spk"), os.path.join(models, "mine.spk"))
        text = t.read_text(os.path.join(share, "targets", "loihi2.yaml"))
        t.write_text(os.path.join(share, "targets", "chip9.yaml"),
                     text.replace("name: loihi2\n", "name: chip9\n"))
        done = self.run_tool("estimate", "mine", "--target", "chip9", "--json", tool=self.tool)
        self.assertEqual(done.json()["target"], "chip9")
        os.makedirs(self.path("bin"))
        os.symlink(self.tool, self.path("bin", "spikec"))
        self.run_tool("estimate", "mine", "--target", "chip9", tool=self.path("bin", "spikec"))
        self.run_tool("estimate", "mine", "--target", "loihi2", expect=t.BAD_INPUT, says="mine")
        folders = self.run_tool("doctor", "--json", tool=self.tool).json()["models"]["folders"]
        self.assertEqual(os.path.realpath(folders[0]), os.path.realpath(models))
        own = self.run_tool("doctor", "--json").json()["models"]["folders"][0]
        self.assertEqual(own, os.path.join(t.SOURCE, "models"))

    def test_fashion(self):
        """The trained model, with the weights of the tree, compiled and checked. A comment tells the
        tree's model from that of the source tree."""
        model = os.path.join(self.tree, "share", "spikec", "models", "spikformer_v2_fashion.spk")
        t.write_text(model, t.read_text(model) + "// of the tree\n")
        out = self.path("out")
        self.run_tool("compile", "spikformer_v2_fashion", "--target", "loihi2", "-o", out,
                      tool=self.tool, cwd="/")
        with open(model, "rb") as f:
            self.assertEqual(json.loads(t.read_text(os.path.join(out, "mapping.json")))["provenance"]
                             ["model_sha256"], hashlib.sha256(f.read()).hexdigest())
        self.run_tool("check", out, tool=self.tool)

    def test_what_is_there(self):
        for name in ("include/spikec/spikec.h", "include/spikec/objects.h",
                     "share/doc/spikec/examples/library/CMakeLists.txt", "share/man/man1/spikec.1",
                     "share/bash-completion/completions/spikec",
                     "share/zsh/vendor-completions/_spikec",
                     "share/fish/vendor_completions.d/spikec.fish", "share/vim/vimfiles/syntax/spk.vim",
                     "share/spikec/vscode/package.json", "share/doc/spikec/docs/install.md"):
            self.assertTrue(os.path.isfile(os.path.join(self.tree, name)), name)
        pages = {os.path.basename(p) for p in glob.glob(os.path.join(self.tree, "share/man/man1/*"))}
        self.assertEqual(pages, {"spikec.1"} | {f"spikec-{c}.1" for c in commands()})


class Habits(t.ToolTest):
    """Man pages and completion scripts, as installed, against --help."""
    made = os.path.join(t.BUILD, "habits")

    def test_manual(self):
        listed = re.findall(r"^  ([a-z-]+) ", run(t.TOOL, "--help"), re.M)
        self.assertEqual(listed, commands())
        self.assertGreater(len(listed), 15)
        whole = t.read_text(os.path.join(self.made, "man1", "spikec.1")).replace("\\-", "-")
        for command in listed:
            self.assertIn(f"\n\\fB{command}\\fR ", whole)
            page = t.read_text(os.path.join(self.made, "man1", f"spikec-{command}.1"))
            page = page.replace("\\-", "-")
            heads = re.findall(r"^\.TP\n(.*)$", page, re.M)
            words = set(re.findall(r"\\fB(--?[a-z?][a-z-]*)\\fR", "\n".join(heads)))
            self.assertEqual(words, help_options(command), command)
            self.assertGreater(len(words), 5)
        self.run_tool("manual", "complie", expect=t.USAGE, says="complie")

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "man or groff is not installed")
    def test_manual_is_clean_troff(self):
        pages = glob.glob(os.path.join(self.made, "man1", "*.1"))
        self.assertGreater(len(pages), 15)
        for page in pages:
            out = run("man", "--warnings", "-l", "-Tutf8", page, env={**os.environ, "LC_ALL": "C.UTF-8"})
            self.assertNotIn("warning", out, page)
            self.assertIn("SYNOPSIS", re.sub(".\x08", "", out))

    def bash(self, *words):
        """What bash offers for the last word."""
        script = (f"source '{self.made}/spikec.bash'; PATH='{os.path.dirname(t.TOOL)}':$PATH\n"
                  f"COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}\n"
                  "_spikec; printf '%s\\n' \"${COMPREPLY[@]}\"")
        return set(run("bash", "-c", script, cwd=self.dir).split())

    @unittest.skipUnless(shutil.which("bash"), "bash is not installed")
    def test_bash(self):
        run("bash", "-n", os.path.join(self.made, "spikec.bash"))
        self.assertEqual(self.bash("spikec", ""), set(commands()) | {"--help", "--version"})
        for command in commands():
            long = {o for o in help_options(command) if o.startswith("--")}
            self.assertEqual(self.bash("spikec", command, "-"), long, command)
        self.assertEqual(self.bash("spikec", "run", "--engine", ""), {"reference", "packed", "native"})
        self.assertEqual(self.bash("spikec", "run", "--engine", "=", "p"), {"packed"})
        self.assertEqual(self.bash("spikec", "run", "--level", ""), {"R", "Q"})
        self.assertIn("loihi2", self.bash("spikec", "compile", "x", "--target", "loi"))
        self.assertEqual(self.bash("spikec", "estimate", "spikformer_v2_f"), {"spikformer_v2_fashion", "spikformer_v2_fashion_mae"})
        self.assertEqual(self.bash("spikec", "target", "s"), {"show"})
        t.write_text(self.path("here.spk"), "")
        self.assertEqual(self.bash("spikec", "fmt", "he"), {"here.spk"})
        self.assertEqual(self.bash("spikec", "run", "--limit", ""), set())

    def test_zsh_and_fish_name_every_option(self):
        zsh = t.read_text(os.path.join(self.made, "_spikec"))
        fish = t.read_text(os.path.join(self.made, "spikec.fish"))
        for command in commands():
            body = re.search(rf"^    {command}\)\n(.*?)^        ;;", zsh, re.M | re.S).group(1)
            self.assertEqual(set(re.findall(r"'\*(--?[a-z?][a-z-]*)", body)), help_options(command), command)
            lines = re.findall(rf"^complete .*_from {command}' .*$", fish, re.M)
            found = set()
            for line in lines:
                found |= {"--" + w for w in re.findall(r" -l ([a-z-]+)", line)}
                found |= {"-" + w for w in re.findall(r" -s '(.)'", line)}
            self.assertEqual(found, help_options(command), command)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_parses(self):
        run("zsh", "-n", os.path.join(self.made, "_spikec"))

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish_completes(self):
        run("fish", "-n", os.path.join(self.made, "spikec.fish"))
        offers = run("fish", "--no-config", "-c",
                     f"source {self.made}/spikec.fish; complete -C 'spikec run --engine '",
                     env={**os.environ, "HOME": self.dir})
        self.assertEqual({line.split("\t")[0] for line in offers.splitlines()},
                         {"reference", "packed", "native"})


@unittest.skipUnless(shutil.which("cpack") and shutil.which("dpkg-deb") and
                     shutil.which("dpkg-shlibdeps"), "cpack or Debian's package tools are not installed")
class Package(t.ToolTest):
    def test_package(self):
        run("cpack", "--config", os.path.join(t.BUILD, "CPackConfig.cmake"), "-B", self.path("made"))
        package, = glob.glob(self.path("made", "*.deb"))
        control = run("dpkg-deb", "-f", package)
        self.assertRegex(control, r"(?m)^Package: spikec$")
        depends = re.search(r"(?m)^Depends: (.*)$", control).group(1)
        root = self.path("root")
        run("dpkg-deb", "-x", package, root)
        tool = os.path.join(root, "usr", "bin", "spikec")
        library = os.path.join(root, "usr", "lib", "libspikec.so")
        for file in (tool, library):
            self.assertEqual(self.needed(file) - self.provided(depends), set(), file)
        run("dpkg-deb", "-e", package, self.path("control"))
        scripts = "".join(t.read_text(f) for f in glob.glob(self.path("control", "*"))
                          if os.path.basename(f) in ("triggers", "postinst"))
        self.assertIn("ldconfig", scripts)
        module = os.path.join(root, "usr", "lib", "python3", "dist-packages")
        if not t.INSTRUMENTED:
            self.assertIn("0.1.0", run("/usr/bin/python3", "-B", "-c", "import spikec; print(spikec.__version__)",
                                       cwd="/", env={"PYTHONPATH": module}))
        self.run_tool("estimate", "spikformer_v2_fashion", "--target", "loihi2", tool=tool)
        folders = self.run_tool("doctor", "--json", tool=tool).json()["targets"]["folders"]
        self.assertEqual(os.path.realpath(folders[0]),
                         os.path.realpath(os.path.join(root, "usr/share/spikec/targets")))
        self.assertNotIn("/usr/local", run("dpkg-deb", "-c", package))

    @staticmethod
    def needed(tool):
        """Names of the libraries that the program itself asks for."""
        return set(re.findall(r"NEEDED +(\S+)", run("objdump", "-p", tool)))

    @staticmethod
    def provided(depends):
        found = set()
        for name in re.findall(r"(?:^|, )([a-z0-9.+-]+)", depends):
            for path in run("dpkg-query", "-L", name).split():
                found.add(os.path.basename(path))
        return found


class Begin(t.ToolTest):
    """init and target new."""

    def test_model(self):
        done = self.run_tool("init", "mine.spk", "--json", cwd=self.dir)
        self.assertEqual(done.json()["model"], "mine")
        model = self.path("mine.spk")
        self.run_tool("fmt", model, "--check")
        text = t.read_text(model)
        self.assertIn("\nmodel mine(\n", text)
        self.assertNotIn("my_model", text)
        self.run_tool("init", model, expect=t.USAGE, says="there already")
        self.assertEqual(t.read_text(model), text)
        self.run_tool("synth", model, "--rate", "0.1", "-o", self.path("w.safetensors"), "--input-out",
                      self.path("in.safetensors"), "--set", "dim=32")
        for target in ("loihi1", "loihi2"):
            out = self.path(target)
            self.run_tool("compile", model, "--set", "dim=32", "--weights", self.path("w.safetensors"),
                          "--target", target, "-o", out)
            self.run_tool("check", out)
            self.run_tool("verify", out, "--input", self.path("in.safetensors"), "--limit", "2")

    def test_bad_names(self):
        for name in ("mine", "1.spk", "a-b.spk", "a b.spk", ".spk", "mine.yaml"):
            self.run_tool("init", name, cwd=self.dir, expect=t.USAGE, says=[".spk", name])
        self.run_tool("init", "block.spk", cwd=self.dir, expect=t.BAD_INPUT, says="block")
        self.run_tool("init", self.path("no", "m.spk"), expect=t.SYSTEM, says="m.spk")
        for name in ("chip.spk", "Chip-.yml", "-x.yaml"):
            self.run_tool("target", "new", "--from", "loihi2", "--", name, cwd=self.dir, expect=t.USAGE,
                          says=name)
        self.run_tool("target", "new", "Chip.yaml", "--from", "loihi2", cwd=self.dir,
                      expect=t.BAD_INPUT, says="Chip")
        self.assertEqual(os.listdir(self.dir), [])

    def test_target(self):
        self.run_tool("target", "new", "--from", "loihi2", cwd=self.dir)
        made = self.path("my-loihi2.yaml")
        old = [line for line in t.read_text(CHIP).splitlines() if not line.startswith(("name", "desc"))]
        new = t.read_text(made).splitlines()
        self.assertEqual([line for line in new[2:] if not line.startswith(("name", "desc"))], old)
        self.run_tool("target", "check", made)
        self.run_tool("target", "new", "--from", "loihi2", cwd=self.dir, expect=t.USAGE,
                      says="there already")
        self.run_tool("target", "new", "other.yaml", "--from", made, cwd=self.dir)
        self.run_tool("target", "check", self.path("other.yaml"))
        done = self.run_tool("estimate", "spikformer_v2_fashion", "--target", self.path("other.yaml"),
                             "--json")
        self.assertEqual(done.json()["target"], "other")
        self.run_tool("target", "new", expect=t.USAGE, says="--from")
        self.run_tool("target", "new", "--from", "loihi9", expect=t.BAD_INPUT, says="loihi")
        self.run_tool("target", "list", "--from", "loihi2", expect=t.USAGE, says="--from")

    def test_target_whose_name_cannot_be_replaced(self):
        text = t.read_text(CHIP)
        t.write_text(self.path("q.yaml"), text.replace("\nname: loihi2\n", "\n'name': loihi2\n"))
        self.run_tool("target", "new", "z.yaml", "--from", self.path("q.yaml"), cwd=self.dir,
                      expect=t.BAD_INPUT, says="name")
        self.assertFalse(os.path.exists(self.path("z.yaml")))


class Doctor(t.ToolTest):
    def parts(self, **how):
        return {p["name"]: p for p in self.run_tool("doctor", "--json", **how).json()["parts"]}

    def test_finds_and_misses(self):
        """A PATH of our own decides what is found."""
        os.makedirs(self.path("bin"))
        t.write_text(self.path("bin", "sim"), "#!/bin/sh\n")
        self.assertFalse(self.parts(env={"PATH": self.path("bin")})["SANA-FE"]["found"])
        os.chmod(self.path("bin", "sim"), 0o755)
        t.write_text(self.path("bin", "python3"),
                     "#!/bin/sh\nprintf ' brian2 \\n' # whatever it is asked\n")
        os.chmod(self.path("bin", "python3"), 0o755)
        parts = self.parts(env={"PATH": self.path("bin")})
        self.assertEqual(parts["SANA-FE"]["path"], self.path("bin", "sim"))
        self.assertTrue(parts["Brian 2"]["found"])
        for name in ("PyTorch", "cc", "chromium"):
            self.assertFalse(parts[name]["found"], name)
            self.assertIsNone(parts[name]["path"])
            self.assertTrue(parts[name]["costs"])
        self.assertIn("python3-torch", parts["PyTorch"]["remedy"])
        text = self.run_tool("doctor", env={"PATH": self.path("bin")}).out
        self.assertRegex(text, r"(?m)^missing  PyTorch .*\n.*without it: .*\n.*remedy: apt install")
        self.assertRegex(text, r"(?m)^yes      SANA-FE .*bin/sim\)$")

    def test_modules_are_those_of_python3(self):
        parts = self.parts()
        if not parts["python3"]["found"]:
            self.skipTest("python3 is not in the PATH")
        for name, module in (("NumPy", "numpy"), ("Brian 2", "brian2"), ("PyTorch", "torch")):
            code = f"import importlib.util as u; print(u.find_spec('{module}') is not None)"
            self.assertEqual(str(parts[name]["found"]), run("python3", "-c", code).strip(), name)

    def test_llvm_library(self):
        self.assertFalse(self.parts(env={"SPIKEC_LLVM": "libnone.so"})["LLVM library"]["found"])

    def test_build(self):
        done = self.run_tool("doctor", "--json").json()
        for name, what in done["build"].items():
            self.assertIn(f"\n{name}: {what}\n", self.run_tool("--version").out)
        self.assertEqual(done["models"]["found"], len(self.run_tool("completion", "models").out.split()))
        self.assertEqual(done["targets"]["found"], len(self.run_tool("target", "list").out.split()))
        self.assertGreater(done["processors"], 0)


class Editors(t.ToolTest):
    """The syntax files against the lexers, the tables, and texts of both languages."""

    @staticmethod
    def read(*names):
        return t.read_text(os.path.join(t.SOURCE, *names))

    def words_of_languages(self):
        spk = set(re.findall(r'^"([a-z]+)" +\{ EMIT', self.read("frontend", "spk_lexer.l"), re.M))
        table = self.read("frontend", "sema_names.c").split("builtins[] = {")[1].split("\n};")[0]
        spk |= set(re.findall(r'^    \{"(\w+)"', table, re.M))
        sir = set(re.findall(r'^IR_OP\(\w+, *"(\w+)"', self.read("ir", "ops.def"), re.M))
        parser = self.read("ir", "parse.c") + self.read("ir", "parse_equation.c")
        for words in re.findall(r"_words\[\] = \{([^}]*)NULL\}", parser):
            sir |= set(re.findall(r'"(\w+)"', words))
        sir |= set(re.findall(r'sir_(?:need|accept|at)_word\(\w+, "(\w+)"', parser))
        self.assertGreater(len(spk), 25)
        self.assertGreater(len(sir), 30)
        return {"spk": spk, "sir": sir}

    def test_every_word_is_known(self):
        for language, words in self.words_of_languages().items():
            vim = self.read("editors", "vim", "syntax", f"{language}.vim")
            for group in re.findall(r"\\\(([^()]*)\\\)", vim):  # alternatives are not words in a row
                self.assertNotIn(" ", group, language)
            vim = set(re.findall(r"\w+", "\n".join(re.findall(r"^syntax .*$", vim, re.M))))
            self.assertEqual(words - vim, set(), language)
            grammar = json.loads(self.read("editors", "vscode", "syntaxes", f"{language}.tmLanguage.json"))
            lists = [w for p in grammar["patterns"] for w in re.findall(r"\(([a-zA-Z0-9_|]+)\)",
                                                                       p.get("match", ""))]
            self.assertEqual(words - set("|".join(lists).split("|")), set(), language)

    def test_vscode_files_agree(self):
        package = json.loads(self.read("editors", "vscode", "package.json"))
        json.loads(self.read("editors", "vscode", "language-configuration.json"))
        for grammar in package["contributes"]["grammars"]:
            text = json.loads(self.read("editors", "vscode", grammar["path"]))
            self.assertEqual(text["scopeName"], grammar["scopeName"])
            for pattern in text["patterns"]:
                re.compile(pattern.get("match", pattern.get("begin")))
        self.assertEqual([e for g in package["contributes"]["languages"] for e in g["extensions"]],
                         [".spk", ".sir"])

    def test_vim(self):
        """Vim itself says what it takes words of real files for."""
        vim = shutil.which("vim")
        if vim is None or "+syntax" not in run(vim, "--version"):
            self.skipTest("no Vim with syntax highlighting is installed")
        self.run_tool("init", self.path("m.spk"))
        t.write_text(self.path("m.sir"), self.run_tool("opt", self.path("m.spk")).out)
        for name, wanted in (("m.spk", (("neuron lif", "spkDeclare"), ("charge v", "spkStatement"),
                                        ("// A new", "spkComment"), ("conv2d(", "spkBuiltin"),
                                        ("stem0_\\*\\\" as", ""), ("2\\.0", "spkNumber"))),
                             ("m.sir", (("module", "sirDeclare"), ("conv2d", "sirOp"),
                                        ("@stem0", "sirParam"), ("%1 ", "sirValue"),
                                        ("timesteps", "sirDeclare")))):
            script = [f"set rtp^={t.SOURCE}/editors/vim", "filetype on", "syntax on",
                      f"edit {self.path(name)}"]
            for pattern, group in wanted:
                if group:
                    script += ["call cursor(1, 1)", f"call search('{pattern}', 'c')",
                               "call writefile([synIDattr(synID(line('.'), col('.'), 1), 'name')], "
                               f"'{self.path('out')}', 'a')"]
            script.append("qall!")
            t.write_text(self.path("script.vim"), "\n".join(script) + "\n")
            run(vim, "-u", "NONE", "-N", "-i", "NONE", "-es", "-S", self.path("script.vim"),
                stdin=subprocess.DEVNULL)
            self.assertEqual(t.read_text(self.path("out")).split("\n")[:-1],
                             [group for _, group in wanted if group], name)
            os.remove(self.path("out"))


if __name__ == "__main__":
    unittest.main()
