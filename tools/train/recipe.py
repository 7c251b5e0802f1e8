"""What supervised training and pre-training share: schedule, optimiser, checkpoints, log, progress bar."""

import dataclasses
import json
import math
import os
import sys
import time

import torch

import data
from model import Config

HERE = os.path.dirname(os.path.abspath(__file__))


def add_options(parser, name):
    """Options of every recipe; `name` is the base of the default checkpoint and log."""
    d = Config()
    g = parser.add_argument_group("network")
    g.add_argument("--dim", type=int, default=d.dim, help="width of the tokens (default: %(default)s)")
    g.add_argument("--depth", type=int, default=d.depth, help="encoder blocks (default: %(default)s)")
    g.add_argument("--heads", type=int, default=d.heads, help="(default: %(default)s)")
    g.add_argument("--stem", choices=("scs", "sps"), default=d.stem,
                   help="stem of Spikformer V2 or V1 (default: %(default)s)")
    g.add_argument("--stem-convs", type=int, choices=(1, 2, 3), default=d.stem_convs,
                   help="convolutions in a block of the SCS stem (default: %(default)s)")
    g.add_argument("--stem-kernel", type=int, choices=(1, 3), default=d.stem_kernel,
                   help="their size; 1: linear blocks (default: %(default)s)")
    g = parser.add_argument_group("training")
    g.add_argument("--data", default=data.DEFAULT_DATA,
                   help="folder with the four idx .gz files (default: %(default)s)")
    g.add_argument("--batch", type=int, default=128, help="images per step (default: %(default)s)")
    g.add_argument("--weight-decay", type=float, default=0.02, help="on weights with two or more axes (default: %(default)s)")
    g.add_argument("--clip", type=float, default=2.0, help="gradient norm limit (default: %(default)s)")
    g.add_argument("--seed", type=int, default=1)
    g.add_argument("--threads", type=int, default=2)
    g.add_argument("--limit", type=int, default=0, help="use only the first N images of each set (a smoke test)")
    g.add_argument("--out", default=os.path.join(HERE, "checkpoints", f"{name}.pt"),
                   help="checkpoint, rewritten after every epoch")
    g.add_argument("--log", default=os.path.join(HERE, "logs", f"{name}.log"), help="one JSON line per epoch")
    g.add_argument("--resume", action="store_true", help="continue from --out")
    g.add_argument("--stop-after", type=int, metavar="N",
                   help="end after epoch N, as an interruption would; --resume goes on")


def config_of(args, timesteps):
    return Config(dim=args.dim, depth=args.depth, heads=args.heads, stem=args.stem, stem_convs=args.stem_convs,
                  stem_kernel=args.stem_kernel, timesteps=timesteps)


def parse_stages(text):
    """"1:14:3e-3,4:2:1e-3" -> [(1, 14, 0.003), (4, 2, 0.001)]"""
    return [(int(t), int(e), float(lr)) for t, e, lr in (s.split(":") for s in text.split(","))]


def begun_stages(text, epochs):
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
    groups = [{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0)


class Progress:
    """A one-line progress bar on stderr; plain sparse lines when stderr is no terminal."""

    def __init__(self, label, total):
        self.label, self.total, self.start, self.last = label, total, time.time(), time.time()
        self.every = 0.5 if sys.stderr.isatty() else 60.0

    def __call__(self, done, text):
        now = time.time()
        if now - self.last < self.every:
            return
        self.last = now
        filled = 24 * done // self.total
        left = (now - self.start) / done * (self.total - done)
        end = "\r" if sys.stderr.isatty() and done < self.total else "\n"
        bar = "#" * filled + "." * (24 - filled)
        print(f"{self.label} [{bar}] {done}/{self.total} {text} {left:4.0f} s left ", end=end, file=sys.stderr, flush=True)


def run_epoch(model, optimiser, args, images, epoch, label, lr_at, step):
    """One pass over `images` (U8) in random order; `step(index, x, generator)` gives the loss and a text for the bar.

    All randomness of an epoch comes from (seed, epoch), so a resumed run equals an uninterrupted one. Returns the
    mean of the losses."""
    model.train()
    generator = torch.Generator().manual_seed(args.seed * 1000 + epoch)
    order = torch.randperm(len(images), generator=generator)
    batches = max(len(order) // args.batch, 1)
    bar = Progress(label, batches)
    total, seen = 0.0, 0
    for i in range(batches):
        index = order[i * args.batch : (i + 1) * args.batch]
        x = data.normalise(data.augment(images[index], generator))
        for group in optimiser.param_groups:
            group["lr"] = lr_at(i / batches)
        loss, text = step(index, x, generator)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimiser.step()
        total += float(loss.detach()) * len(index)
        seen += len(index)
        bar(i + 1, f"loss {total / seen:.4f} {text}")
    return total / seen


def settings(args):
    """What a resumed run must have in common with the interrupted one."""
    free = ("stages", "timesteps", "epochs", "lr", "data", "threads", "out", "log", "resume", "stop_after", "init",
            "test_every")
    return {k: v for k, v in sorted(vars(args).items()) if k not in free}


def resume(args, model, optimiser):
    """Loads --out where --resume is given; returns the number of epochs that are done."""
    if not args.resume or not os.path.exists(args.out):
        return 0
    state = torch.load(args.out)
    done = state["epoch"]
    if state["settings"] != settings(args) or begun_stages(state["stages"], done) != begun_stages(args.stages, done):
        raise SystemExit(f"{args.out} was made with other settings: {state['settings']}, stages {state['stages']}")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return done


def save(args, model, optimiser, config, epoch, **more):
    """Replaces the checkpoint in one step."""
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "config": dataclasses.asdict(config),
             "settings": settings(args), "stages": args.stages, "epoch": epoch, **more}
    torch.save(state, args.out + ".part")
    os.replace(args.out + ".part", args.out)


def run(args, model, config, images, step, measure, **more):
    """All stages of a recipe; `step` as in run_epoch, `measure(epoch, last)` gives a dict for the log line."""
    optimiser = make_optimiser(model, args.weight_decay)
    first = resume(args, model, optimiser)
    for path in (args.out, args.log):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    plan = [(steps, epochs, peak, k) for steps, epochs, peak in parse_stages(args.stages) for k in range(epochs)]
    with open(args.log, "a" if first else "w") as log:
        for epoch, (steps, epochs, peak, k) in enumerate(plan, 1):
            if epoch <= first or (args.stop_after and epoch > args.stop_after):
                continue
            model.steps, started = steps, time.time()
            lr_at = lambda part: learning_rate(peak, (k + part) / epochs)
            label = f"epoch {epoch}/{len(plan)} T={steps}"
            loss = run_epoch(model, optimiser, args, images, epoch, label, lr_at, step)
            entry = {"epoch": epoch, "timesteps": steps, "loss": round(loss, 4), "lr_begin": float(f"{lr_at(0):.3g}"),
                     "seconds": round(time.time() - started, 1), **measure(epoch, epoch == len(plan))}
            entry["seconds_with_test"] = round(time.time() - started, 1)
            log.write(json.dumps(entry) + "\n")
            log.flush()
            config.timesteps = steps
            save(args, model, optimiser, config, epoch, **more)
            text = ", ".join(f"{k} {v}" for k, v in entry.items() if k != "rates")
            print(text, file=sys.stderr, flush=True)
