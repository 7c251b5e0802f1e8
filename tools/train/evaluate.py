#!/usr/bin/env python3
"""Evaluate a model file on the Fashion-MNIST test set.

Prints the top-1 accuracy in float32 and, with --bits, after folding the batch norms and rounding
the folded weights to that many bits per output channel (symmetric, no calibration; biases and
membranes stay float). --compare counts the images whose class differs from another predictions file.
"""

import argparse
import dataclasses

import numpy as np
import torch

import data
import tensorfile
from model import Config, Spikformer
from train import predict


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", help="safetensors file of the weights")
    p.add_argument("--data", default=data.DEFAULT_DATA, help="folder with the four idx .gz files (default: %(default)s)")
    p.add_argument("--timesteps", type=int, help="T (default: the file's own)")
    p.add_argument("--limit", type=int, default=0, help="only the first N test images")
    p.add_argument("--bits", type=int, nargs="*", default=[], help="also evaluate with weights of this many bits, e.g. --bits 8 6")
    p.add_argument("--compare", help="predictions file (tensor `predictions`, U8) to compare the float32 classes with")
    p.add_argument("--rates", action="store_true", help="print the mean firing rate of every LIF layer")
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def config_of(metadata):
    """The network that a model file's metadata tell; what they do not tell is as in the released model."""
    told = [f for f in dataclasses.fields(Config) if f.name in metadata]
    return Config(**{f.name: type(f.default)(metadata[f.name]) for f in told})


def load_model(path, timesteps=None):
    """The network with the weights of a safetensors file, in evaluation mode."""
    tensors, metadata = tensorfile.load(path)
    config = config_of(metadata)
    config.timesteps = timesteps or config.timesteps
    model = Spikformer(config)
    state = {n: torch.from_numpy(a.astype("<f4")) for n, a in tensors.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [n for n in missing if not n.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"evaluate: missing {missing}, unexpected {unexpected}")
    return model.eval()


def quantise(weight, bits):
    """Round to `bits`-bit integers with one scale per output channel, and back to float."""
    top = 2 ** (bits - 1) - 1
    scale = weight.flatten(1).abs().amax(1).clamp_min(1e-12) / top
    scale = scale.view(-1, *[1] * (weight.ndim - 1))
    return (weight / scale).round() * scale


@torch.no_grad()
def fold_and_quantise(model, bits):
    """Fold every batch norm into its convolution and round the folded weights, in place."""
    for _, conv, bn in model.linear_bn_pairs():
        gain = bn.weight / torch.sqrt(bn.running_var + bn.eps)
        bias = conv.bias if conv.bias is not None else 0.0
        bn.bias.copy_(bn.bias + (bias - bn.running_mean) * gain)
        conv.weight.copy_(quantise(conv.weight * gain.view(-1, *[1] * (conv.weight.ndim - 1)), bits))
        if conv.bias is not None:
            conv.bias.zero_()
        bn.weight.fill_(1.0)  # what is left of the batch norm only adds the folded bias
        bn.running_mean.zero_()
        bn.running_var.fill_(1.0 - bn.eps)
    model.head.weight.copy_(quantise(model.head.weight, bits))


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    images, labels = data.load(args.data, "t10k", args.limit)
    model = load_model(args.model, args.timesteps)
    logits, rates = predict(model, images, count=True)
    classes = logits.argmax(1)
    print(f"float32: top-1 {float((classes == labels).float().mean()):.4f} on {len(labels)} images, T = {model.steps}")
    if args.rates:
        for name, rate in rates.items():
            print(f"{name:34s} rate {rate:.4f}")
    if args.compare:
        other = tensorfile.load(args.compare)[0]["predictions"][: len(labels)].astype(np.int64)
        print(f"compare: {int((classes.numpy() != other).sum())} of {len(labels)} classes differ; the other file has top-1 {(other == labels.numpy()).mean():.4f}")
    for bits in args.bits:
        model = load_model(args.model, args.timesteps)
        fold_and_quantise(model, bits)
        quantised = predict(model, images).argmax(1)
        top1, same = float((quantised == labels).float().mean()), int((quantised == classes).sum())
        print(f"{bits}-bit weights: top-1 {top1:.4f}, {same} of {len(labels)} classes as in float32")


if __name__ == "__main__":
    main()
