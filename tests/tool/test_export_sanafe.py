"""export: what `export --to sanafe` writes. SANA-FE itself runs it where there is one (SANAFE_SIM, or
`sim` in the PATH); elsewhere a stand-in, sanafe_model.py, which is our reading of its documentation, and
files that SANA-FE gave for golden cases (tests/data/sanafe). Every spike must agree, and the energy of
every component to 0.1 %."""
import collections
import gzip
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np

import mini_model
import spikec_tool as t

RECORDED = os.path.join(t.SOURCE, "tests", "data", "sanafe")
STAND_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sanafe_model.py")
SIM = os.environ.get("SANAFE_SIM") or shutil.which("sim")
CASES = ("v1-tiny-exact", "v1-tiny-dvs-exact", "v2-tiny-exact", "v2-tiny-events-exact")


class SanafeTest(t.ToolTest):
    def compile_case(self, case, attention):
        folder = self.path(f"{case}.{attention}")
        self.compile(case, "sanafe-loihi", folder, "--attention", attention)
        return folder

    def compile_mini(self, kind, images, *more):
        model, weights, folder = mini_model.write(self.dir, kind), self.path("w"), self.path(kind)
        source = self.path(f"{kind}.input")
        t.write_tensors(source, {"input": images})
        self.run_tool("synth", model, "--rate", "0.2", "--limit", "8", "-o", weights)
        self.run_tool("compile", model, "--weights", weights, "--calibrate", source, "--target",
                      "sanafe-loihi", "--attention", "and_lif", "-o", folder, *more)
        return folder, source

    def export(self, folder, source, *more):
        out = f"{folder}.sanafe"
        report = self.run_tool("export", folder, "--to", "sanafe", "--input", source, "-o", out,
                               "--json", *more).json()
        return out, report

    def stand_in(self, out):
        with open(os.path.join(out, "expected.json"), encoding="utf-8") as f:
            steps = json.load(f)["timesteps"]
        name = next(n for n in ("network.net", "network.yaml")
                    if os.path.exists(os.path.join(out, n)))
        self.run_script([sys.executable, STAND_IN, os.path.join(out, "arch.yaml"),
                         os.path.join(out, name), str(steps), self.path("model")])
        return self.path("model")

    def real(self, out):
        results = self.path("sim")
        shutil.rmtree(results, ignore_errors=True)
        self.run_script(["sh", os.path.join(out, "run.sh"), results], SANAFE_SIM=SIM)
        return results

    def run_script(self, words, **env):
        done = subprocess.run(words, env={**os.environ, **env}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=1200, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode()[-3000:])

    def agrees(self, out, results):
        report = self.run_tool("compare-sanafe", out, results, "--json").json()
        self.assertEqual((report["missing"], report["extra"]), (0, 0))
        self.assertEqual(report["spikes_expected"], report["spikes_given"])
        self.assertGreater(report["spikes_expected"], 100)
        self.assertIsNone(report["first_difference"])
        for name, e in report["energy_pj"].items():
            self.assertLess(abs(e["relative"]), 1e-3, name)
        self.assertGreater(report["energy_sanafe_pj"], 0)
        return report


class Sanafe(SanafeTest):
    def both(self, out):
        self.agrees(out, self.stand_in(out))
        if SIM:
            self.agrees(out, self.real(out))

    def test_small_networks(self):
        """Small enough for YAML; images back to back; event counts above one."""
        for kind in ("events", "image"):
            for more in ((), ("--separate-cores",)):
                with self.subTest(kind=kind, more=more):
                    self.setUp()
                    images = mini_model.images(kind, 3)
                    if kind == "events":
                        self.assertGreater(images.max(), 1)
                    out, report = self.export(*self.compile_mini(kind, images, *more))
                    self.assertEqual(report["format"], "yaml")
                    self.thresholds(out)
                    self.both(out)

    def thresholds(self, out):
        """Ties are rare, so their rule is looked at: > fires from the whole number above on."""
        network = t.read_text(os.path.join(out, "network.yaml"))
        found = re.findall(r"\{threshold: (\S+), leak", network)
        self.assertGreater(len(found), 8)
        for text in found:
            units = float(text) * 64
            self.assertEqual(np.ceil(units) - units, 2.0 ** -20)

    def test_segments(self):
        """Parts of a network, driven by what the others fired: they add up to the whole."""
        for kind in ("events", "image"):
            with self.subTest(kind=kind):
                self.setUp()
                folder, source = self.compile_mini(kind, mini_model.images(kind, 2))
                out, whole = self.export(folder, source)
                chip, parts = self.chip(out), []
                for k in (1, 2, 3):
                    out, report = self.export(folder, source, "--segment", f"{k}/3")
                    self.both(out)
                    parts.append((report, self.chip(out)))
                for key in ("neurons", "spikes"):
                    self.assertEqual(sum(r[key] for r, _ in parts), whole[key])
                for key in ("synapse", "soma"):
                    self.assert_close(sum(c[key] for _, c in parts), chip[key], what=key)
                self.assertLess(sum(c["network"] for _, c in parts), chip["network"])
                self.run_tool("export", folder, "--to", "sanafe", "--input", source, "-o", out,
                              "--segment", "2/900", expect=t.BAD_INPUT, says="E0723")
        self.run_tool("export", folder, "--to", "sanafe", "--input", source, "-o", out,
                      "--segment", "4/3", expect=t.USAGE, says="K/N")

    def chip(self, out):
        with open(os.path.join(out, "expected.json"), encoding="utf-8") as f:
            return json.load(f)["energy_pj"]["chip"]

    def test_golden_cases(self):
        """Attention cut out (its spikes are given), and as AND units; steps wait behind delays."""
        for case, attention in (("v1-tiny-exact", "embedded"), ("v2-tiny-events-exact", "and_lif")):
            with self.subTest(case=case):
                folder = self.compile_case(case, attention)
                out, report = self.export(folder, t.golden(case, "input.safetensors"))
                self.assertEqual(report["format"], "netlist")
                self.both(out)

    def test_real(self):
        if not SIM:
            self.skipTest("SANA-FE is not installed: neither SANAFE_SIM nor `sim` in the PATH")
        for case in CASES:
            with self.subTest(case=case):
                folder = self.compile_case(case, "and_lif")
                out, _ = self.export(folder, t.golden(case, "input.safetensors"))
                self.agrees(out, self.real(out))

    def test_energy_is_what_simulate_counts(self):
        folder = self.compile_case("v1-tiny-exact", "and_lif")
        source = t.golden("v1-tiny-exact", "input.safetensors")
        out, _ = self.export(folder, source)
        cost = self.run_tool("simulate", folder, "--input", source, "--json").json()
        energy = {k: v for k, v in cost["totals"]["energy_pj"].items() if v is not None}
        with open(os.path.join(out, "expected.json"), encoding="utf-8") as f:
            chip = json.load(f)["energy_pj"]["chip"]
        soma = sum(energy[k] for k in ("neuron_active", "neuron_inactive", "neuron_touched",
                                       "spike_out"))
        self.assert_close(chip["soma"], soma)
        self.assert_close(chip["synapse"], energy["synaptic_op"])
        self.assertGreater(energy["neuron_touched"], 0)  # SANA-FE's own kind of update occurs

    def test_refused(self):
        source = t.golden("v2-tiny-t1-exact", "input.safetensors")
        for target, says in (("loihi1", "several chips"), ("loihi2", "programmable")):
            folder = self.path(target)
            self.compile("v2-tiny-t1-exact", target, folder)
            self.run_tool("export", folder, "--to", "sanafe", "--input", source, "-o",
                          self.path("o"), expect=t.BAD_INPUT,
                          says=("E0720", says, "--target=sanafe-loihi"))
            self.assertFalse(os.path.exists(self.path("o")))
        self.run_tool("export", folder, "--to", "sanafe", "-o", self.path("o"), expect=t.USAGE,
                      says="needs --input")


class Recorded(SanafeTest):
    """What SANA-FE gave for golden cases, when it was run."""

    def unpack(self, case):
        folder = self.path(case)
        shutil.copytree(os.path.join(RECORDED, case), folder)
        for name in ("expected_spikes.csv", "spikes.csv"):
            path = os.path.join(folder, name)
            with gzip.open(path + ".gz") as f:
                t.write_bytes(path, f.read())
        return folder

    def test_recorded_results(self):
        for case in CASES:
            with self.subTest(case=case):
                folder = self.unpack(case)
                self.agrees(folder, folder)
                self.same_as_now(case, folder)

    def same_as_now(self, case, folder):
        """The layers of the model fire today what SANA-FE fired."""
        compiled, source = self.compile_case(case, "and_lif"), t.golden(case, "input.safetensors")
        self.run_tool("simulate", compiled, "--input", source, "--spikes", self.path("s"))
        now = t.read_tensors(self.path("s"))
        with open(os.path.join(folder, "expected.json"), encoding="utf-8") as f:
            expected = json.load(f)
        fired = collections.defaultdict(list)
        for row in t.read_text(os.path.join(folder, "spikes.csv")).split()[1:]:
            neuron, step = row.split(",")
            group, position = neuron.split(".")
            fired[int(group)].append((int(position), int(step) - 1 - expected["offset"]))
        compared = 0
        for layer in expected["layers"]:
            if layer["name"] not in now:
                continue
            want = np.squeeze(now[layer["name"]], axis=1)
            if want.ndim == 3 and want.shape[1] != layer["channels"]:  # tokens before channels
                want = want.transpose(0, 2, 1)
            want = want.reshape(want.shape[0], layer["channels"], -1)
            got = np.zeros_like(want)
            for c in range(layer["channels"]):
                for position, step in fired[layer["first_group"] + c]:
                    got[step - layer["start"], c, position] = 1
            np.testing.assert_array_equal(got, want, err_msg=f"{case} {layer['name']}")
            compared += int(want.sum())
        self.assertGreater(compared, 1000)

    def test_differences_are_found(self):
        folder = self.unpack("v2-tiny-exact")
        good = {n: t.read_text(os.path.join(folder, n))
                for n in ("spikes.csv", "run_summary.yaml", "perf.csv")}
        rows = good["spikes.csv"].splitlines()
        changes = (("spikes.csv", "\n".join(rows[:100] + rows[101:]) + "\n", (1, 0)),
                   ("spikes.csv", good["spikes.csv"] + "3.99999,7\n", (0, 1)))
        for name, text, count in changes:
            t.write_text(os.path.join(folder, name), text)
            report = self.run_tool("compare-sanafe", folder, folder, "--json",
                                   expect=t.DIFFERENCE).json()
            self.assertEqual((report["missing"], report["extra"]), count)
            self.assertTrue(report["first_difference"]["layer"])
            t.write_text(os.path.join(folder, name), good[name])
        soma = next(x for x in good["run_summary.yaml"].split() if x.startswith("soma:"))
        more = f"soma:{float(soma[5:]) * 1.002:.6e}"
        t.write_text(os.path.join(folder, "run_summary.yaml"),
                     good["run_summary.yaml"].replace(soma, more))
        self.run_tool("compare-sanafe", folder, folder, expect=t.BAD_INPUT, says="E0964")
        table = [line.split(",") for line in good["perf.csv"].splitlines()]
        column = table[0].index("soma_energy")
        for line in table[1:]:
            line[column] = f"{float(line[column]) * 1.002:.6e}"
        t.write_text(os.path.join(folder, "perf.csv"), "\n".join(map(",".join, table)) + "\n")
        report = self.run_tool("compare-sanafe", folder, folder, "--json",
                               expect=t.DIFFERENCE).json()
        self.assertAlmostEqual(report["energy_pj"]["soma"]["relative"], 0.002, delta=1e-5)
        self.assertEqual((report["missing"], report["extra"]), (0, 0))

    def test_damaged_results(self):
        folder = self.unpack("v2-tiny-exact")
        for name, text, code in (
                ("spikes.csv", "", "E0730"), ("spikes.csv", "neuron,timestep\n1.2\n", "E0730"),
                ("spikes.csv", "neuron,timestep\n1.2,99999999999\n", "E0730"),
                ("spikes.csv", "neuron,timestep\n1.2,3,4\n", "E0730"),
                ("run_summary.yaml", "timesteps_executed: 32\n", "E0731"),
                ("run_summary.yaml", "timesteps_executed: many\n", "E0731"),
                ("perf.csv", "", "E0732"), ("perf.csv", "timestep\n1\n", "E0732"),
                ("expected.json", "{}", "E0")):
            path = os.path.join(folder, name)
            good = t.read_bytes(path)
            t.write_text(path, text)
            with self.subTest(name=name, text=text):
                self.run_tool("compare-sanafe", folder, folder, expect=t.BAD_INPUT, says=code)
            t.write_bytes(path, good)
        os.remove(os.path.join(folder, "perf.csv"))
        self.run_tool("compare-sanafe", folder, folder, expect=t.SYSTEM)


if __name__ == "__main__":
    t.unittest.main()
