"""golden: `spikec run` and `spikec estimate` on every case of tests/data/golden, as a user runs them.
Exact cases: every recorded value bit for bit, logits within 1e-4, for any number of threads and any
batch. Float cases: teacher-forced. The paper's energy: to 1e-9 for all."""
import unittest

import numpy as np

import spikec_tool as t

ENERGY_KEYS = ("MACs_float", "SOPs", "E_mJ", "MACs_per_step")


def named_values(path):
    """The recorded values of a file, without what the head reads and gives."""
    tensors = t.read_tensors(path)
    return {n: a for n, a in tensors.items() if n not in ("features", "logits")}, tensors


class Exact(t.ToolTest):
    def run_case(self, case, source, tag, *more):
        spikes, logits = self.path(f"{tag}.spikes"), self.path(f"{tag}.logits")
        done = self.run_tool("run", *t.case_arguments(case), "--input", source, "--spikes", spikes,
                             "--out", logits, "--json", *more)
        return done.json(), spikes, logits

    def check_energy(self, report, case):
        energy = t.manifest(case)["energy"]
        for key in ENERGY_KEYS:
            self.assert_close(report["paper_energy"][key], energy[key], what=f"{case} {key}")

    def check_outputs(self, case, spikes, logits, copies):
        """Every image of the case, `copies` times over."""
        want, expected = named_values(t.golden(case, "expected.safetensors"))
        got, everything = named_values(spikes)
        self.assertEqual(sorted(got), sorted(want), case)
        self.assertEqual(sorted(got), sorted(t.manifest(case)["order"]), case)
        self.assert_same_tensors(got, {n: np.concatenate([a] * copies, axis=1)
                                       for n, a in want.items()}, case)
        answer = t.read_tensors(logits)["logits"]
        want_logits = np.concatenate([expected["logits"]] * copies)
        self.assertEqual(answer.shape, want_logits.shape)
        self.assertEqual(answer.dtype, np.float32)
        self.assertLess(np.abs(answer - want_logits).max(), 1e-4, case)
        self.assertTrue((everything["logits"] == answer).all())
        features = np.concatenate([expected["features"]] * copies)
        self.assertLess(np.abs(everything["features"] - features).max(), 1e-5, case)

    def test_every_case(self):
        cases = t.golden_cases(mode="exact")
        self.assertGreaterEqual(len(cases), 8)
        for case in cases:
            with self.subTest(case=case):
                report, spikes, logits = self.run_case(
                    case, t.golden(case, "input.safetensors"), case)
                self.check_outputs(case, spikes, logits, 1)
                self.check_energy(report, case)
                rates = t.manifest(case)["rates"]
                self.assertEqual(sorted(report["rates"]), sorted(rates))
                for name, rate in rates.items():
                    self.assert_close(report["rates"][name], rate, what=name)
                self.assertEqual(report["ignored_tensors"], [])
                self.assertEqual(report["engine_used"], "reference")

    def test_threads(self):
        for case in t.golden_cases(mode="exact"):
            files = []
            for threads in (1, 3):
                _, spikes, logits = self.run_case(
                    case, t.golden(case, "input.safetensors"), f"{case}.{threads}",
                    "--threads", threads)
                self.check_outputs(case, spikes, logits, 1)
                files.append((t.read_bytes(spikes), t.read_bytes(logits)))
            self.assertEqual(files[0], files[1], case)

    def test_batches(self):
        for case in t.golden_cases(mode="exact"):
            image = t.read_tensors(t.golden(case, "input.safetensors"))["input"]
            batch = self.path("batch.safetensors")
            t.write_tensors(batch, {"input": np.concatenate([image] * 5)})
            for threads in (1, 2):
                report, spikes, logits = self.run_case(case, batch, "batch", "--threads", threads)
                self.assertEqual(report["images"], 5 * len(image))
                self.check_outputs(case, spikes, logits, 5)
                self.check_energy(report, case)

    def test_a_changed_weight_shows(self):
        """The comparison can fail."""
        case = "v2-tiny-exact"
        weights = dict(t.read_tensors(t.golden(case, "weights.safetensors")))
        name = "block.0.attn.k_conv.weight"
        weights[name] = -weights[name]
        t.write_tensors(self.path("w.safetensors"), weights)
        self.run_tool("run", *t.model_arguments(case), "--weights", self.path("w.safetensors"),
                      "--input", t.golden(case, "input.safetensors"), "--spikes", self.path("s"))
        got, _ = named_values(self.path("s"))
        want, _ = named_values(t.golden(case, "expected.safetensors"))
        different = [n for n in want if (got[n] != want[n]).any()]
        self.assertIn("block.0.attn.k_lif", different)
        self.assertNotIn("block.0.attn.q_lif", different)


class Float(t.ToolTest):
    def teacher(self, case, expected):
        return self.run_tool("run", *t.case_arguments(case), "--input",
                             t.golden(case, "input.safetensors"), "--teacher", expected,
                             "--out", self.path("y"), "--json").json()["teacher"]

    def test_teacher_forced(self):
        cases = t.golden_cases()
        self.assertEqual(len([c for c in cases if "float" in c]), 2)
        for case in cases:
            with self.subTest(case=case):
                r = self.teacher(case, t.golden(case, "expected.safetensors"))
                lif = {n: v for n, v in t.manifest(case)["layers"].items() if n.split(".")[-1]
                       .rstrip("0123456789").endswith("lif")}
                self.assertEqual({layer["name"] for layer in r["layers"]}, set(lif))
                for layer in r["layers"]:
                    self.assertEqual(layer["values"], int(np.prod(lif[layer["name"]]["shape"])))
                self.assertEqual(r["values"], sum(layer["values"] for layer in r["layers"]))
                self.assertEqual(r["flips_outside"], 0)
                self.assertLessEqual(r["flips"], 1e-6 * r["values"])

    def test_a_wrong_spike_is_a_flip(self):
        case = "v2-tiny-float"
        wrong = dict(t.read_tensors(t.golden(case, "expected.safetensors")))
        layer = np.array(wrong["block.1.mlp.fc2_lif"])
        layer[3, 0, 5, 1] ^= 1  # the last frame: no later one is reset by it
        wrong["block.1.mlp.fc2_lif"] = layer
        t.write_tensors(self.path("e"), wrong)
        r = self.teacher(case, self.path("e"))
        flips = {e["name"]: e["flips"] for e in r["layers"] if e["flips"]}
        self.assertEqual(flips, {"block.1.mlp.fc2_lif": 1})
        self.assertEqual(r["flips_outside"], 1)

    def test_a_foreign_teacher_is_refused(self):
        case = "v2-tiny-float"
        expected = t.read_tensors(t.golden(case, "expected.safetensors"))
        arguments = ["run", *t.case_arguments(case), "--input",
                     t.golden(case, "input.safetensors"), "--teacher", self.path("e")]
        short = {n: a[:2] if n.endswith("lif") else a for n, a in expected.items()}
        t.write_tensors(self.path("e"), short)
        self.run_tool(*arguments, expect=t.BAD_INPUT)
        lacking = {n: a for n, a in expected.items() if n != "block.0.attn.v_lif"}
        t.write_tensors(self.path("e"), lacking)
        self.run_tool(*arguments, expect=t.BAD_INPUT, says="block.0.attn.v_lif")


def estimate_energy(test, case, target):
    """Energy from a manifest's rates; whether the model fits is another matter."""
    done = t.spikec("estimate", *t.model_arguments(case), "--target", target, "--rates",
                    t.golden(case, "manifest.json"), "--json")
    test.assertIn(done.code, (t.DONE, t.NO_FIT), done)
    report, energy = done.json(), t.manifest(case)["energy"]
    test.assertEqual(report["fits"], done.code == t.DONE)
    test.assertEqual(report["rates"], "given")
    for key in ENERGY_KEYS:
        test.assert_close(report["paper_energy"][key], energy[key], what=f"{case} {key}")


class Energy(t.ToolTest):
    def test_from_rates(self):
        """Rates of max-pooled values and of event frames are not in a manifest: without them there
        is no figure (the run of Exact has them); with them it is the manifest's."""
        known = 0
        for case in t.golden_cases() + ["v2-small-64-exact"]:
            config = t.manifest(case)["config"]
            for target in ("loihi1", "loihi2"):
                with self.subTest(case=case, target=target):
                    if config["variant"] == "v2" and config["input_mode"] == "static":
                        estimate_energy(self, case, target)
                        known += 1
                        continue
                    done = self.run_tool("estimate", *t.model_arguments(case), "--target", target,
                                         "--rates", t.golden(case, "manifest.json"), "--json")
                    self.assertNotIn("paper_energy", done.json())
        self.assertGreaterEqual(known, 10)

    def test_other_rates_give_another_figure(self):
        case = "v2-tiny-exact"
        rates = {n: 0.5 for n in t.manifest(case)["rates"]}
        t.write_text(self.path("r.json"), t.json.dumps(rates))
        report = self.run_tool("estimate", *t.model_arguments(case), "--target", "loihi2",
                               "--rates", self.path("r.json"), "--json").json()
        self.assertNotAlmostEqual(report["paper_energy"]["SOPs"],
                                  t.manifest(case)["energy"]["SOPs"])


class EnergyOfV2_8_512(t.ToolTest):
    def test_from_rates(self):
        estimate_energy(self, "v2-8-512-exact", "loihi2")


if __name__ == "__main__":
    unittest.main(verbosity=2)
