#!/usr/bin/env python3
"""Turn a training checkpoint into a model file and PyTorch's answers to compare the compiler's with.

Convolution weights are rounded to float16, then the batch norm statistics are computed again
on training images with those weights (--recalibrate), then the test set is evaluated in float32.
Of a pre-training checkpoint, all weights of layers are rounded, and the answers are reconstructions of the
first test images under fixed masks.
"""

import argparse
import os

import numpy as np
import torch
from torch import nn

import data
import tensorfile
from autoencoder import MaskedAutoencoder, random_mask
from model import Config, Spikformer
from train import predict, training_images

RECONSTRUCTIONS = 8  # test images in the answers of an autoencoder


def parse_args(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint", help="file written by train.py or pretrain.py --out")
    p.add_argument("out", help="model file; OUT is x.safetensors, the answers go to x.predictions.safetensors "
                               "or x.reconstructions.safetensors")
    p.add_argument("--no-answers", action="store_true", help="write the model file alone")
    p.add_argument("--data", default=data.DEFAULT_DATA,
                   help="folder with the four idx .gz files (default: %(default)s)")
    p.add_argument("--limit", type=int, default=0, help="only the first N test images")
    p.add_argument("--recalibrate", type=int, default=20000, metavar="N",
                   help="training images for new batch norm statistics, of those that the run had; "
                        "0 to keep the running ones (default: %(default)s)")
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args(argv)


def round_weights(model):
    """Round the weights of all convolutions, and of a decoder's linear layers, to float16 in place."""
    for name, m in model.named_modules():
        if isinstance(m, (nn.Conv1d, nn.Conv2d)) or (isinstance(m, nn.Linear) and name.startswith("decoder_")):
            m.weight.data = m.weight.data.half().float()
            m.half_weight = True


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
    """The state as numpy arrays: weights rounded before as F16, all else F32."""
    half = {f"{name}.weight" for name, m in model.named_modules() if getattr(m, "half_weight", False)}
    return {name: t.contiguous().numpy().astype("<f2" if name in half else "<f4")
            for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")}


def metadata_of(state):
    """What a model file says about itself."""
    config, settings = state["config"], state["settings"]
    names = ("timesteps", "in_channels", "height", "width", "dim", "depth", "heads", "mlp_ratio", "classes",
             "stem", "stem_stages", "stem_convs", "stem_kernel")
    mean, std = f"{data.MEAN:.4f}", f"{data.STD:.4f}"
    return {"model": "spikformer_v2" if config["stem"] == "scs" else "spikformer_v1", "dataset": "Fashion-MNIST",
            "seed": settings["seed"], "stages": state["stages"], "epochs": state["epoch"],
            **{n: config[n] for n in names},
            "normalisation": f"(x/255 - {mean})/{std}", "mean": mean, "std": std}


def export_classifier(args, state):
    settings = state["settings"]
    model = Spikformer(Config(**state["config"]))
    model.load_state_dict(state["model"])
    round_weights(model)
    if args.recalibrate:
        images, _ = training_images(args.data, settings["labels"], settings["seed"], settings["limit"])
        recalibrate(model, images[: args.recalibrate])
    images, labels = data.load(args.data, "t10k", args.limit)
    logits, rates = predict(model, images, count=True)
    predictions = logits.argmax(1)
    accuracy = f"{float((predictions == labels).float().mean()):.4f}"
    metadata = {**metadata_of(state), "labels": settings["labels"] or "all", "test_top1": accuracy}
    tensorfile.save(args.out, to_tensors(model), metadata)
    if not args.no_answers:
        tensorfile.save(
            args.out.replace(".safetensors", ".predictions.safetensors"),
            {"predictions": predictions.numpy().astype(np.uint8), "logits": logits.numpy().astype("<f4")},
            {"dataset": "Fashion-MNIST test", "test_top1": accuracy, "timesteps": model.steps,
             "made_by": "PyTorch, float32"},
        )
    for name, rate in rates.items():
        print(f"{name:34s} rate {rate:.4f}")
    print(f"top-1 {accuracy}  {args.out}  {os.path.getsize(args.out)} bytes")


@torch.no_grad()
def export_autoencoder(args, state):
    decoder, ratio = state["decoder"], state["settings"]["mask_ratio"]
    model = MaskedAutoencoder(Config(**state["config"]), **decoder)
    model.load_state_dict(state["model"])
    model.eval()
    round_weights(model)
    images = data.load(args.data, "t10k", RECONSTRUCTIONS)[0]
    mask = random_mask(len(images), model.grid[0] * model.grid[1], ratio, torch.Generator().manual_seed(0))
    loss, pixels = model.loss(data.normalise(images), mask, state["settings"]["normalise_patches"])
    metadata = {**metadata_of(state), "mask_ratio": ratio, **{f"decoder_{k}": v for k, v in decoder.items()},
                "normalise_patches": state["settings"]["normalise_patches"]}
    tensorfile.save(args.out, to_tensors(model), metadata)
    if not args.no_answers:
        tensorfile.save(
            args.out.replace(".safetensors", ".reconstructions.safetensors"),
            {"input": images.numpy(), "mask": mask.numpy().astype(np.uint8),
             "reconstruction": pixels.numpy().astype("<f4")},
            {"dataset": "Fashion-MNIST test", "loss": f"{float(loss):.6f}", "timesteps": model.steps,
             "made_by": "PyTorch, float32"},
        )
    print(f"loss {float(loss):.4f} on {len(images)} images  {args.out}  {os.path.getsize(args.out)} bytes")


def main(argv=None):
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    state = torch.load(args.checkpoint)
    (export_autoencoder if "decoder" in state else export_classifier)(args, state)


if __name__ == "__main__":
    main()
