#!/usr/bin/env python3
"""Train a small Spikformer V2 on Fashion-MNIST with surrogate gradients, on the CPU.

Training runs in stages `T:epochs:lr`: cheap epochs with few time steps first, the last ones with
the final number of steps. Every stage has a short linear warm-up and a cosine decay to zero.
The state is saved after every epoch; --resume continues from it. The last epoch is the result
(no choice by test accuracy); export.py turns its checkpoint into the released files.
"""

import argparse
import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F

import data
from model import SpikformerV2

HERE = os.path.dirname(os.path.abspath(__file__))


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", default=data.DEFAULT_DATA, help="folder with the four idx .gz files (default: %(default)s)")
    p.add_argument("--stages", default="1:14:3e-3,4:2:1e-3", help="list of T:epochs:peak_lr (default: %(default)s)")
    p.add_argument("--timesteps", type=int, help="one single stage with this T, instead of --stages")
    p.add_argument("--epochs", type=int, default=10, help="epochs of that single stage (default: %(default)s)")
    p.add_argument("--lr", type=float, default=3e-3, help="peak learning rate of that single stage (default: %(default)s)")
    p.add_argument("--batch", type=int, default=128, help="images per step (default: %(default)s)")
    p.add_argument("--weight-decay", type=float, default=0.02, help="on weights with two or more axes (default: %(default)s)")
    p.add_argument("--label-smoothing", type=float, default=0.1)
    p.add_argument("--clip", type=float, default=2.0, help="gradient norm limit (default: %(default)s)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--limit", type=int, default=0, help="use only the first N images of each set (a smoke test)")
    p.add_argument("--init", help="start from the weights of this checkpoint, with a new optimiser and schedule")
    p.add_argument("--out", default=os.path.join(HERE, "checkpoints", "spikformer_v2_fashion.pt"), help="checkpoint, rewritten after every epoch")
    p.add_argument("--log", default=os.path.join(HERE, "logs", "spikformer_v2_fashion.log"), help="one JSON line per epoch")
    p.add_argument("--resume", action="store_true", help="continue from --out")
    args = p.parse_args()
    if args.timesteps:
        args.stages = f"{args.timesteps}:{args.epochs}:{args.lr}"
    return args


def parse_stages(text):
    """"1:14:3e-3,4:2:1e-3" -> [(1, 12, 0.003), (4, 5, 0.001)]"""
    return [(int(t), int(e), float(lr)) for t, e, lr in (s.split(":") for s in text.split(","))]


def done_stages(text, epochs):
    """The stages begun within the first `epochs` epochs; on --resume only the later ones may change."""
    begun = []
    for stage in parse_stages(text):
        if epochs > 0:
            begun.append(stage)
        epochs -= stage[1]
    return begun


def learning_rate(peak, progress, warmup=0.05):
    """Linear warm-up, then cosine to zero; progress in [0, 1] over the stage."""
    if progress < warmup:
        return peak * (progress + 1e-3) / warmup
    return peak * 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def make_optimiser(model, weight_decay):
    """AdamW; biases and batch norm parameters are not decayed."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}], lr=0.0)


class Progress:
    """A one-line progress bar on stderr; plain sparse lines when stderr is no terminal."""

    def __init__(self, label, total):
        self.label, self.total, self.start, self.last = label, total, time.time(), 0.0
        self.every = 0.5 if sys.stderr.isatty() else 60.0

    def __call__(self, done, text):
        now = time.time()
        if now - self.last < self.every and done < self.total:
            return
        self.last = now
        filled = 24 * done // self.total
        left = (now - self.start) / done * (self.total - done)
        end = "\r" if sys.stderr.isatty() and done < self.total else "\n"
        bar = "#" * filled + "." * (24 - filled)
        print(f"{self.label} [{bar}] {done}/{self.total} {text} {left:4.0f} s left ", end=end, file=sys.stderr, flush=True)


def train_epoch(model, optimiser, images, labels, args, epoch, label, lr_at):
    """One pass over the training set; returns (mean loss, accuracy on the augmented images)."""
    model.train()
    # All randomness of an epoch comes from (seed, epoch), so a resumed run equals an uninterrupted one.
    generator = torch.Generator().manual_seed(args.seed * 1000 + epoch)
    order = torch.randperm(len(images), generator=generator)
    batches = max(len(order) // args.batch, 1)
    bar = Progress(label, batches)
    total_loss, correct, seen = 0.0, 0, 0
    for i in range(batches):
        index = order[i * args.batch : (i + 1) * args.batch]
        x, y = data.normalise(data.augment(images[index], generator)), labels[index]
        for group in optimiser.param_groups:
            group["lr"] = lr_at(i / batches)
        logits = model(x)
        loss = F.cross_entropy(logits, y, label_smoothing=args.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimiser.step()
        total_loss += float(loss.detach()) * len(y)
        correct += int((logits.argmax(1) == y).sum())
        seen += len(y)
        bar(i + 1, f"loss {total_loss / seen:.3f} acc {correct / seen:.4f}")
    return total_loss / seen, correct / seen


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


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    stages = parse_stages(args.stages)
    images, labels = data.load(args.data, "train", args.limit)
    test_images, test_labels = data.load(args.data, "t10k", args.limit)
    model = SpikformerV2().to(memory_format=torch.channels_last)
    optimiser = make_optimiser(model, args.weight_decay)
    first = 0
    if args.resume and os.path.exists(args.out):
        state = torch.load(args.out)
        if state["seed"] != args.seed or done_stages(state["stages"], state["epoch"]) != done_stages(args.stages, state["epoch"]):
            raise SystemExit("train: the checkpoint was made with another --seed or other --stages")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["epoch"]
    elif args.init:
        model.load_state_dict(torch.load(args.init)["model"])
    for path in (args.out, args.log):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    total = sum(e for _, e, _ in stages)
    with open(args.log, "a" if args.resume or args.init else "w") as log:
        epoch = 0
        for steps, epochs, peak in stages:
            for k in range(epochs):
                epoch += 1
                if epoch <= first:
                    continue
                model.steps = steps
                started = time.time()
                lr_at = lambda part: learning_rate(peak, (k + part) / epochs)
                label = f"epoch {epoch}/{total} T={steps}"
                loss, accuracy = train_epoch(model, optimiser, images, labels, args, epoch, label, lr_at)
                seconds = time.time() - started
                logits, rates = predict(model, test_images, count=True)
                test = float((logits.argmax(1) == test_labels).float().mean())
                entry = {
                    "epoch": epoch, "timesteps": steps, "loss": round(loss, 4), "train_accuracy": round(accuracy, 4),
                    "test_accuracy": round(test, 4), "lr_begin": float(f"{lr_at(0):.3g}"), "seconds": round(seconds, 1),
                    "seconds_with_test": round(time.time() - started, 1), "rates": {n: round(r, 4) for n, r in rates.items()},
                }
                log.write(json.dumps(entry) + "\n")
                log.flush()
                state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch, "timesteps": steps,
                         "stages": args.stages, "seed": args.seed}
                torch.save(state, args.out + ".part")
                os.replace(args.out + ".part", args.out)
                print(f"epoch {epoch}/{total}: loss {loss:.4f}, train {accuracy:.4f}, test {test:.4f}, {seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
