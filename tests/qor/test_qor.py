"""qor: quality of results. What the tool makes of the zoo on every target (cores, axons, memory,
messages, hops, link load, energy, steps, bytes, refusals) against golden/TARGET.json, within
tolerances.json. The same code gives the same figures, so whatever the table shows is the effect of
a change. By hand:

    QOR_TARGET=loihi1 python3 tests/qor/test_qor.py Quality
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tool"))
import spikec_tool as t  # noqa: E402  (the path above)
import compare as c  # noqa: E402
import measure  # noqa: E402

BLESSING = os.environ.get("BLESS", "") != ""
TARGET = os.environ.get("QOR_TARGET", "")


@unittest.skipUnless(TARGET, "QOR_TARGET names no target")
class Quality(t.ToolTest):
    def test_against_golden(self):
        limits, golden = c.tolerances(), c.read_golden(TARGET)
        found = measure.Bench(TARGET, self.dir).run()
        rows = c.compare(golden, found, limits)
        print(c.report(TARGET, golden, found, rows, limits), flush=True)
        untold = {name for figures in found.values() for name in figures} - set(limits)
        self.assertFalse(untold, "figures without a tolerance in tests/qor/tolerances.json")
        if BLESSING:
            c.write_golden(TARGET, found)
            print(f"blessed {c.golden_path(TARGET)}")
            return
        failing = sum(row.level == c.FAILS for row in rows)
        if failing > 0:
            self.fail(f"{failing} figures beyond tolerance, see the table above; "
                      f"if they are meant: {c.BLESS}")


class Complete(t.ToolTest):
    def test_every_target_has_goldens(self):
        listed = set(measure.targets())
        self.assertGreater(len(listed), 1)
        stored = {name[:-5] for name in os.listdir(c.FOLDER) if name.endswith(".json")}
        if BLESSING:  # the tests of the targets write what is listed
            for target in stored - listed:
                os.remove(c.golden_path(target))
            return
        self.assertEqual(stored, listed, f"to be blessed: {c.BLESS}")

    def test_every_zoo_model_is_compiled(self):
        self.assertEqual(sorted(measure.COMPILED), measure.zoo())

    def test_every_lowering_is_tried(self):
        for target in measure.targets():
            shown = self.run_tool("target", "show", target, "--json").json()["target"]
            offered = set(shown["attention"]["lowerings"]["value"])
            self.assertTrue(offered)
            self.assertLessEqual(offered, set(measure.LOWERINGS), target)


class Comparison(unittest.TestCase):
    """The comparison itself, with made-up figures."""
    LIMITS = {"cores": {"worse": 2, "better": 5}, "bound": {"change": 0}, "name": {"change": 0},
              "energy": {"worse": 3, "better": 5}, "refused": {"change": 0},
              "time": {"information": True}}
    GOLDEN = {"a": {"name": "x", "cores": 100, "bound": 50, "energy": None, "time": 1.0},
              "b": {"refused": "E0640"}}

    def rows(self, case="a", golden=None, **changes):
        golden = golden or self.GOLDEN
        found = {name: dict(figures) for name, figures in golden.items()}
        for figure, value in changes.items():
            found[case].pop(figure, None)
            if value != "gone":
                found[case][figure] = value
        rows = c.compare(golden, found, self.LIMITS)
        text = c.report("chip", golden, found, rows, self.LIMITS)
        for row in rows:
            self.assertIn(row.text, text)
        return [(row.case, row.figure, row.level) for row in rows]

    def test_same(self):
        self.assertEqual(self.rows(), [])
        self.assertEqual(self.rows(time=9.0), [])

    def test_more_is_worse(self):
        self.assertEqual(self.rows(cores=102), [("a", "cores", c.WITHIN)])
        self.assertEqual(self.rows(cores=103), [("a", "cores", c.FAILS)])

    def test_much_better_asks_for_a_blessing(self):
        self.assertEqual(self.rows(cores=95), [("a", "cores", c.WITHIN)])
        self.assertEqual(self.rows(cores=94), [("a", "cores", c.FAILS)])

    def test_what_has_no_direction(self):
        for bound in (49, 51):
            self.assertEqual(self.rows(bound=bound), [("a", "bound", c.FAILS)])
        self.assertEqual(self.rows(name="y"), [("a", "name", c.FAILS)])

    def test_null_and_zero(self):
        self.assertEqual(self.rows(energy=5.0), [("a", "energy", c.FAILS)])
        golden = {"a": {"cores": 0, "energy": 2.5}}
        self.assertEqual(self.rows(golden=golden), [])
        self.assertEqual(self.rows(golden=golden, cores=1), [("a", "cores", c.FAILS)])
        self.assertEqual(self.rows(golden=golden, energy=None), [("a", "energy", c.FAILS)])

    def test_figures_and_cases_that_come_and_go(self):
        self.assertEqual(self.rows(cores="gone"), [("a", "cores", c.FAILS)])
        self.assertEqual(self.rows(case="b", cores=1), [("b", "cores", c.FAILS)])
        self.assertEqual(self.rows(other=1), [("a", "other", c.FAILS)])
        only = {"a": self.GOLDEN["a"]}
        for golden, found in ((self.GOLDEN, only), (only, self.GOLDEN)):
            rows = c.compare(golden, found, self.LIMITS)
            self.assertEqual([(row.case, row.level) for row in rows], [("b", c.FAILS)])

    def test_refusals(self):
        self.assertEqual(self.rows(case="b", refused="E0643"), [("b", "refused", c.FAILS)])
        self.assertEqual(self.rows(case="b", refused="gone", cores=1), [("b", "refused", c.FAILS)])
        self.assertEqual(self.rows(refused="E0666", cores="gone"), [("a", "refused", c.FAILS)])

    def test_rounding_is_no_change(self):
        golden = {"a": {"energy": c.rounded(1 / 3)}}
        self.assertEqual(self.rows(golden=golden, energy=1 / 3), [])


if __name__ == "__main__":
    unittest.main()
