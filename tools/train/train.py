#!/usr/bin/env python3
"""Train a small Spikformer on Fashion-MNIST with surrogate gradients, on the CPU: from scratch, or from the
encoder of a checkpoint (--init), as after pre-training.

Training runs in stages `T:epochs:lr`: cheap epochs with few time steps first, the last ones with
the final number of steps. Every stage has a short linear warm-up and a cosine decay to zero.
The state is saved after every epoch; --resume continues from it. The last epoch is the result
(no choice by test accuracy); export.py turns its checkpoint into the released files.
"""

import argparse

import torch
import torch.nn.functional as F

import data
import recipe
from model import Spikformer


def parse_args(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stages", default="1:14:3e-3,4:2:1e-3", help="list of T:epochs:peak_lr (default: %(default)s)")
    p.add_argument("--timesteps", type=int, help="one single stage with this T, instead of --stages")
    p.add_argument("--epochs", type=int, default=10, help="epochs of that single stage (default: %(default)s)")
    p.add_argument("--lr", type=float, default=3e-3, help="peak learning rate of that single stage (default: %(default)s)")
    p.add_argument("--labels", type=int, default=0, metavar="N",
                   help="train on N labelled images alone, as many of each class, chosen by --seed (default: all)")
    p.add_argument("--holdout", type=int, default=0, metavar="N",
                   help="to choose settings by: test on the last N training images, which are then not trained on, "
                        "instead of on the test set")
    p.add_argument("--label-smoothing", type=float, default=0.1)
    p.add_argument("--init", help="start from the weights of this checkpoint, with a new optimiser and schedule; "
                                  "a decoder in it is left out, and without a head in it, the head is a new one")
    p.add_argument("--test-every", type=int, default=1, metavar="N",
                   help="test set after every N-th epoch and the last (default: %(default)s)")
    recipe.add_options(p, "spikformer_v2_fashion")
    args = p.parse_args(argv)
    if args.timesteps:
        args.stages = f"{args.timesteps}:{args.epochs}:{args.lr}"
    return args


def load_init(model, path):
    """The encoder, and a head where there is one, of a checkpoint; any other difference of names or shapes is an error."""
    given, own = torch.load(path)["model"], model.state_dict()
    wrong = [n for n in own if not n.startswith("head.") and n not in given]
    wrong += [n for n in given if n not in own and not n.startswith(("decoder_", "mask_token"))]
    wrong += [n for n in own if n in given and given[n].shape != own[n].shape]
    if wrong:
        raise SystemExit(f"train: {path} does not fit the network: {', '.join(wrong)}")
    model.load_state_dict(given, strict=False)


def training_images(folder, labels, seed, limit=0, holdout=0):
    """The training set without its last `holdout` images, or the `labels` images of that which `seed` chooses,
    as many of each class."""
    images, classes = data.load(folder, "train", limit)
    images, classes = images[: len(images) - holdout], classes[: len(classes) - holdout]
    if not labels:
        return images, classes
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(classes), generator=generator)
    each = labels // int(classes.max() + 1)
    index = torch.cat([order[classes[order] == c][:each] for c in range(int(classes.max()) + 1)])
    return images[index], classes[index]


@torch.no_grad()
def predict(model, images, batch=250, count=False):
    """Logits [n, classes] in evaluation mode; with `count`, the firing rates of the LIF layers as well."""
    model.eval()
    for _, lif in model.lif_layers():
        lif.count, lif.spikes, lif.neurons = count, 0.0, 0
    logits = torch.cat([model(data.normalise(part)) for part in images.split(batch)])
    rates = {name: lif.rate for name, lif in model.lif_layers()}
    for _, lif in model.lif_layers():
        lif.count = False
    return (logits, rates) if count else logits


def main(argv=None):
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    config = recipe.config_of(args, recipe.parse_stages(args.stages)[-1][0])
    model = Spikformer(config).to(memory_format=torch.channels_last)
    if args.init:
        load_init(model, args.init)
    images, labels = training_images(args.data, args.labels, args.seed, args.limit, args.holdout)
    test_images, test_labels = data.load(args.data, "train" if args.holdout else "t10k", args.limit)
    test_images, test_labels = test_images[-args.holdout :], test_labels[-args.holdout :]
    correct = [0, 0]  # of how many images of this epoch

    def step(index, x, generator):
        logits, y = model(x), labels[index]
        correct[0] += int((logits.argmax(1) == y).sum())
        correct[1] += len(y)
        return F.cross_entropy(logits, y, label_smoothing=args.label_smoothing), f"acc {correct[0] / correct[1]:.4f}"

    def measure(epoch, last):
        entry = {"train_accuracy": round(correct[0] / correct[1], 4)}
        correct[:] = 0, 0
        if last or epoch % args.test_every == 0:
            logits, rates = predict(model, test_images, count=True)
            entry["test_accuracy"] = round(float((logits.argmax(1) == test_labels).float().mean()), 4)
            entry["rates"] = {n: round(r, 4) for n, r in rates.items()}
        return entry

    recipe.run(args, model, config, images, step, measure)


if __name__ == "__main__":
    main()
