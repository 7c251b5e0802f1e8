"""A spiking network of a few hundred neurons with everything that an exported network has: event frames
or a still image, a convolution, max pooling, residual sums, attention, biases."""
import os
import shutil

import numpy as np

import spikec_tool as t

TEXT = """import "blocks/spikformer.spk";

model mini(timesteps = 3, dim = 8, heads = 2, classes = 3) {{
	input x : {input};

	let s = maxpool(conv_sn(x, dim, kernel = 3, pad = 1) in "stem_*", kernel = 2, stride = 2);
	let y = encoder(tokens(s), heads, 2, 0.25) in "block";

	output logits = head(y, classes) as "head";
}}
"""
INPUTS = {"events": "frames[2, 4, 4] steps timesteps", "image": "frame[2, 4, 4] repeat timesteps"}


def write(folder, kind):
    """The path of the model, in a folder of its own."""
    folder = os.path.join(folder, f"mini-{kind}")
    shutil.copytree(os.path.join(t.SOURCE, "models", "blocks"), os.path.join(folder, "blocks"))
    path = os.path.join(folder, "mini.spk")
    t.write_text(path, TEXT.format(input=INPUTS[kind]))
    return path


def images(kind, n, seed=1):
    rng = np.random.default_rng(seed)
    if kind == "image":
        return rng.normal(size=(n, 2, 4, 4)).astype(np.float32)
    return rng.poisson(0.6, size=(n, 3, 2, 4, 4)).astype(np.float32)
