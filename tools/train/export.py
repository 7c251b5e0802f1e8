#!/usr/bin/env python3
"""Turn a training checkpoint into the released model and its reference predictions.

Convolution weights are rounded to float16, then the batch norm statistics are computed again
on training images with those weights (--recalibrate), then the test set is evaluated in float32.
"""

import argparse
import os

import numpy as np
import torch
from torch import nn

import data
import tensorfile
from model import SpikformerV2
from train import predict


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint", help="file written by train.py --out")
    p.add_argument("out", help="model file; OUT is x.safetensors, the predictions go to x.predictions.safetensors")
    p.add_argument("--data", default=data.DEFAULT_DATA, help="folder with the four idx .gz files (default: %(default)s)")
    p.add_argument("--timesteps", type=int, default=4, help="T of the released model (default: %(default)s)")
    p.add_argument("--recalibrate", type=int, default=20000, metavar="N",
                   help="training images for new batch norm statistics, 0 to keep the running ones (default: %(default)s)")
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def round_weights(model):
    """Round the weights of all convolutions to float16 in place."""
    for m in model.modules():
        if isinstance(m, (nn.Conv1d, nn.Conv2d)):
            m.weight.data = m.weight.data.half().float()


@torch.no_grad()
def recalibrate(model, images, batch=500):
    """Replace the running batch norm statistics by the plain mean over all batches of `images`."""
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    sums = [(torch.zeros_like(m.running_mean), torch.zeros_like(m.running_var)) for m in norms]
    model.train()
    parts = images.split(batch)
    for m in norms:
        m.momentum = 1.0  # the running values become those of the last batch
    for part in parts:
        model(data.normalise(part))
        for m, (mean, var) in zip(norms, sums):
            mean += m.running_mean
            var += m.running_var
    for m, (mean, var) in zip(norms, sums):
        m.running_mean.copy_(mean / len(parts))
        m.running_var.copy_(var / len(parts))
        m.momentum = 0.1
    model.eval()


def to_tensors(model):
    """The state as numpy arrays: F16 convolution weights, all else F32."""
    tensors = {}
    for name, t in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        half = name.endswith("conv.weight") or ".conv" in name
        tensors[name] = t.contiguous().numpy().astype("<f2" if half else "<f4")
    return tensors


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    state = torch.load(args.checkpoint)
    model = SpikformerV2(steps=args.timesteps)
    model.load_state_dict(state["model"])
    round_weights(model)
    if args.recalibrate:
        recalibrate(model, data.load(args.data, "train", args.recalibrate)[0])
    images, labels = data.load(args.data, "t10k")
    logits, rates = predict(model, images, count=True)
    predictions = logits.argmax(1)
    accuracy = f"{float((predictions == labels).float().mean()):.4f}"
    metadata = {
        "model": "spikformer_v2", "dataset": "Fashion-MNIST", "timesteps": args.timesteps, "seed": state["seed"],
        "stages": state["stages"], "epochs": state["epoch"], "test_top1": accuracy,
        "in_channels": 1, "height": 28, "width": 28, "dim": 64, "depth": 2, "heads": 4, "mlp_ratio": 4, "classes": 10,
        "normalisation": f"(x/255 - {data.MEAN:.4f})/{data.STD:.4f}", "mean": f"{data.MEAN:.4f}", "std": f"{data.STD:.4f}",
    }
    tensorfile.save(args.out, to_tensors(model), metadata)
    tensorfile.save(
        args.out.replace(".safetensors", ".predictions.safetensors"),
        {"predictions": predictions.numpy().astype(np.uint8), "logits": logits.numpy().astype("<f4")},
        {"dataset": "Fashion-MNIST test", "test_top1": accuracy, "timesteps": args.timesteps, "made_by": "PyTorch, float32"},
    )
    for name, rate in rates.items():
        print(f"{name:34s} rate {rate:.4f}")
    print(f"top-1 {accuracy}  {args.out}  {os.path.getsize(args.out)} bytes")


if __name__ == "__main__":
    main()
