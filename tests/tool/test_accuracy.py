"""accuracy: the trained Fashion-MNIST model on all 10,000 test images, at level R against PyTorch's
recorded answers, and at level Q of both targets. Skipped where Debian's data set is not installed."""
import gzip
import os
import unittest

import numpy as np

import spikec_tool as t

IMAGES = os.path.join(t.FASHION, "t10k-images-idx3-ubyte.gz")
LABELS = os.path.join(t.FASHION, "t10k-labels-idx1-ubyte.gz")
TRAIN = os.path.join(t.FASHION, "train-images-idx3-ubyte.gz")
ANSWERS = os.path.join(t.SOURCE, "models", "spikformer_v2_fashion.predictions.safetensors")


class AccuracyTest(t.ToolTest):
    def setUp(self):
        super().setUp()
        if not os.path.isdir(t.FASHION):
            self.skipTest("dataset-fashion-mnist is not installed")

    def top1(self, model, *more):
        report = self.run_tool("run", model, "--input", IMAGES, "--labels", LABELS, "--out",
                               self.path("y.safetensors"), "--json", *more, timeout=1500).json()
        self.assertEqual(report["images"], 10000)
        return report["top1"]

    def quantised(self, target):
        """Top-1 at level Q, calibrated on training images: at most one point below PyTorch's."""
        folder = self.path(target)
        self.run_tool("compile", "spikformer_v2_fashion", "--target", target, "--calibrate", TRAIN,
                      "-o", folder)
        with gzip.open(LABELS) as file:
            labels = np.frombuffer(file.read()[8:], np.uint8)
        pytorch = np.mean(t.read_tensors(ANSWERS)["predictions"] == labels)
        self.assertGreaterEqual(self.top1(folder, "--level", "Q"), pytorch - 0.010)


class Reference(AccuracyTest):
    def test_same_answers_as_pytorch(self):
        top1 = self.top1("spikformer_v2_fashion")
        self.assertGreaterEqual(top1, 0.90)
        got = t.read_tensors(self.path("y.safetensors"))["logits"].argmax(1)
        want = t.read_tensors(ANSWERS)["predictions"]
        self.assertGreaterEqual(np.mean(got == want), 0.999)


class QuantisedLoihi1(AccuracyTest):
    def test_loss(self):
        self.quantised("loihi1")


class QuantisedLoihi2(AccuracyTest):
    def test_loss(self):
        self.quantised("loihi2")


if __name__ == "__main__":
    unittest.main(verbosity=2)
