"""stored: what an image holds once however many cores and positions use it."""
import hashlib
import os
import unittest

import h5py
import numpy as np

import spikec_tool as t

CONV = 1
# Beyond the model's weights an image of `loihi1` holds the enable weights (one per compartment of a
# tile shape) and the runs that span kernel rows.
SLACK = {"loihi1": 1.5, "loihi2": 1.1}


class Stored(t.ToolTest):
    def contents(self, image):
        """A digest of every content: kind, shape, and per row the targets with their weights."""
        rows, runs = image["rows"][()], image["runs"][()]
        weights = image["weights"][()].tobytes()
        for c in image["contents"][()]:
            h = hashlib.sha256(repr([int(c[k]) for k in (
                "kind", "kernel_h", "kernel_w", "stride", "pad", "n_rows", "nc")]).encode())
            if c["kind"] == CONV:
                n = int(c["n_rows"]) * int(c["kernel_h"]) * int(c["kernel_w"]) * int(c["nc"])
                h.update(weights[int(c["weight_first"]):][:n])
                yield h.hexdigest()
                continue
            for row in rows[int(c["row_first"]):][:int(c["n_rows"])]:
                h.update(b"row")
                for run in runs[int(row["run_first"]):][:int(row["n_runs"])]:
                    first, n = int(run["weight_first"]), int(run["length"])
                    h.update(repr((int(run["start"]), n)).encode() + weights[first:first + n])
            yield h.hexdigest()

    def once(self, target):
        folder = self.path(target)
        self.run_tool("compile", "spikformer_v2_fashion", "--target", target, "-o", folder,
                      "--quiet", expect=t.DONE)
        tensors = t.read_tensors(os.path.join(folder, "quantised.safetensors"))
        model = sum(a.size for a in tensors.values() if a.dtype == np.int8)
        with h5py.File(os.path.join(folder, "image.h5")) as image:
            digests = list(self.contents(image))
            self.assertEqual(len(digests), len(set(digests)), "two contents are equal")
            self.assertGreater(len(image["blocks"]), len(digests), "no content is shared")
            self.assertGreaterEqual(len(image["weights"]), model)
            self.assertLess(len(image["weights"]), SLACK[target] * model)

    def test_list_contents(self):
        self.once("loihi1")

    def test_convolutional_contents(self):
        self.once("loihi2")


if __name__ == "__main__":
    unittest.main()
