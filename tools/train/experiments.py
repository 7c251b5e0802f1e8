#!/usr/bin/env python3
"""The runs of docs/experiments.md: train them, export them, measure them on the chips, print the tables.

    experiments.py list                   the runs, and the command that trains each
    experiments.py train RUN...           trains what is missing of the runs; an interrupted one goes on
    experiments.py export RUN...          checkpoints to models/experiments/RUN.safetensors
    experiments.py measure RUN...         compiles, verifies and simulates; prints its rows, keeps results/RUN.json
    experiments.py table                  the tables of docs/experiments.md from results/

RUN is the name of a run (scs_t1_s1) or of a recipe (scs_t1: all its seeds). `train` and `export` need PyTorch,
`measure` a built spikec (--spikec).
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MODELS = os.path.join(ROOT, "models", "experiments")
RESULTS = os.path.join(HERE, "results")
DATA = "/usr/share/datasets/fashion-mnist"
TARGETS = ("loihi1", "loihi2")
SEEDS = (1, 2, 3)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Runs that differ in their seed alone."""

    name: str
    options: str  # of program
    what: str
    program: str = "train.py"
    model: str = "scs.spk"
    set: tuple = ()  # --set of the model
    init: str = ""  # the run whose encoder it starts from
    seeds: tuple = SEEDS


FEW = "--dim 32 --stages 1:{}:3e-3 --batch 64 --labels 1000 --test-every 25"

RECIPES = [
    Recipe("mae", "--dim 32 --stages 1:20:2e-3", "masked autoencoder",
           program="pretrain.py", model="", seeds=(1,)),
    Recipe("scs_t1", "--dim 32 --stages 1:8:3e-3", "SCS, T = 1", seeds=(1, 2)),
    Recipe("sps_t1", "--dim 56 --stem sps --stages 1:8:3e-3", "SPS, T = 1",
           model="sps.spk", seeds=(1, 2)),
    Recipe("scs_t4", "--dim 32 --stages 4:8:3e-3", "SCS, T = 4", set=("timesteps=4",), seeds=(1,)),
    Recipe("tuned", "--dim 32 --stages 1:8:3e-3", "SCS, T = 1, pre-trained",
           init="mae_s1", seeds=(1, 2)),
    Recipe("scratch_1000", FEW.format(100), "1,000 labels, from scratch"),
    Recipe("tuned_1000", FEW.format(100), "1,000 labels, pre-trained", init="mae_s1"),
    Recipe("scratch_short", FEW.format(25), "1,000 labels, a quarter of the epochs, from scratch"),
    Recipe("tuned_short", FEW.format(25), "1,000 labels, a quarter of the epochs, pre-trained",
           init="mae_s1"),
]


@dataclasses.dataclass(frozen=True)
class Run:
    recipe: Recipe
    seed: int

    @property
    def name(self):
        return f"{self.recipe.name}_s{self.seed}"

    @property
    def checkpoint(self):
        return os.path.join(HERE, "checkpoints", self.name + ".pt")

    @property
    def weights(self):
        return os.path.join(MODELS, self.name + ".safetensors")

    @property
    def result(self):
        return os.path.join(RESULTS, self.name + ".json")

    def command(self):
        """Program and options that train it, with paths as seen from tools/train."""
        r = self.recipe
        words = [r.program, *r.options.split(), "--seed", str(self.seed)]
        words += ["--init", f"checkpoints/{r.init}.pt"] if r.init else []
        return words + ["--out", f"checkpoints/{self.name}.pt", "--log", f"logs/{self.name}.log"]


RUNS = [Run(r, seed) for r in RECIPES for seed in r.seeds]


def chosen(names):
    """The runs that `names` tell, in their order; all of them where none is told."""
    for n in names:
        if not any(n in (run.name, run.recipe.name) for run in RUNS):
            raise SystemExit(f"experiments: no run '{n}'; there are: {', '.join(run.name for run in RUNS)}")
    return [run for n in names for run in RUNS if n in (run.name, run.recipe.name)] if names else RUNS


def train(run, args):
    if run.recipe.init and not os.path.exists(os.path.join(HERE, "checkpoints", run.recipe.init + ".pt")):
        raise SystemExit(f"experiments: {run.name} starts from {run.recipe.init}: train that first")
    words = [sys.executable, *run.command(), "--resume", "--threads", str(args.threads), "--data", args.data]
    subprocess.run(words, cwd=HERE, check=True)


def export(run, args):
    if not os.path.exists(run.checkpoint):
        raise SystemExit(f"experiments: {run.checkpoint} is not there: train the run first")
    os.makedirs(MODELS, exist_ok=True)
    # Batch norm keeps the statistics of training: new ones from 1,000 images that are not shifted and mirrored
    # cost the runs with few labels a point.
    words = [sys.executable, "export.py", run.checkpoint, run.weights, "--recalibrate", "0",
             "--threads", str(args.threads), "--data", args.data]
    if run.recipe.model:  # what PyTorch answers is in the row; the reconstructions of an autoencoder are kept
        words.append("--no-answers")
    subprocess.run(words, cwd=HERE, check=True)


def images_of(args, split):
    return os.path.join(args.data, f"{split}-images-idx3-ubyte.gz")


def spikec(args, *words):
    """What the tool answers, with --json."""
    words = [args.spikec, *words, "--threads", str(args.threads), "--json"]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)


def measure_target(args, model, test, target, rates, folder):
    """Levels Q and M, cores, steps and energy on one chip; FOLDER is what `compile` makes."""
    spikec(args, "compile", *model, "--target", target, "--rates", rates, "-o", folder,
           "--calibrate", images_of(args, "train"))
    q = spikec(args, "run", folder, *test, "--level", "Q", "--engine", "packed")
    v = spikec(args, "verify", folder, *test, "--limit", str(args.mapped), "--engine", "packed")
    s = spikec(args, "simulate", folder, *test, "--limit", str(args.mapped))
    energy = s["totals"]["energy_pj"]["total_priced"]
    differ = ("mismatches", "sum_mismatches", "logit_mismatches", "spikes_outside_windows")
    return {
        "top1_Q": q["top1"],
        "top1_M": v["top1_mapped"],
        "top1_Q_mapped_images": v["top1_quantised"],
        "values_compared": v["values_compared"],
        "mismatches": sum(v[name] for name in differ),
        "cores": s["totals"]["cores"],
        "latency_steps": s["latency_steps"],
        "interval_steps": s["interval_steps"],
        "energy_uJ": energy and round(energy / 1e6, 3),
        "unpriced": s["unpriced"],
    }


def mean_rate(rates, folder):
    """Spikes per neuron and step over all neurons, and how many neurons there are."""
    with open(os.path.join(folder, "mapping.json")) as file:
        layers = json.load(file)["layers"]
    sizes = {x["name"]: x["channels"] * x["height"] * x["width"] for x in layers}
    fire = [name for name in sizes if name in rates and "lif" in name.rsplit(".", 1)[-1]]
    neurons = sum(sizes[name] for name in fire)
    return round(sum(rates[name] * sizes[name] for name in fire) / neurons, 5), neurons


def measure(run, args):
    """Levels R, Q and M of one model: everything that its rows in the tables tell."""
    test = ["--input", images_of(args, "t10k"),
            "--labels", os.path.join(args.data, "t10k-labels-idx1-ubyte.gz")]
    model = [os.path.join(MODELS, run.recipe.model), "--weights", run.weights]
    model += [word for setting in run.recipe.set for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        rates = os.path.join(folder, "rates.json")
        r = spikec(args, "run", *model, *test, "--engine", "packed", "--rates-out", rates)
        row = {"run": run.name, "images": r["images"], "top1_R": r["top1"],
               "paper_energy": r["paper_energy"],
               "rates": {name: round(rate, 5) for name, rate in r["rates"].items()},
               "mapped_images": args.mapped, "targets": {}}
        for target in TARGETS:
            out = os.path.join(folder, target)
            row["targets"][target] = measure_target(args, model, test, target, rates, out)
        row["mean_rate"], row["neurons"] = mean_rate(row["rates"], os.path.join(folder, TARGETS[0]))
    os.makedirs(RESULTS, exist_ok=True)
    with open(run.result, "w") as file:
        json.dump(row, file, indent=1)
        file.write("\n")
    print(accuracy_row(run, row), cost_row(run, row), sep="\n", flush=True)
    if any(t["mismatches"] for t in row["targets"].values()):
        raise SystemExit(f"experiments: {run.name}: the mapped network differs from the quantised one")


ACCURACY = """| run | R | Q loihi1 | Q loihi2 | M loihi1 | M loihi2 | images at M | mismatches |
|---|---|---|---|---|---|---|---|"""
COST = """| run | mean rate | SOPs | paper's figure | cores loihi1 | steps loihi1 | energy loihi1 | cores loihi2 | steps loihi2 |
|---|---|---|---|---|---|---|---|---|"""
SPREAD = """| recipe | seeds | R | Q loihi1 | Q loihi2 |
|---|---|---|---|---|"""


def line(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def percent(x):
    return f"{100 * x:.2f}"


def accuracy_row(run, row):
    on = [row["targets"][t] for t in TARGETS]
    top1 = [row["top1_R"], *(t["top1_Q"] for t in on), *(t["top1_M"] for t in on)]
    return line(f"`{run.name}`", *map(percent, top1), f"{row['mapped_images']:,}",
                sum(t["mismatches"] for t in on))


def cost_row(run, row):
    one, two = (row["targets"][t] for t in TARGETS)
    steps = lambda t: f"{t['latency_steps']} / {t['interval_steps']}"
    paper = row["paper_energy"]
    return line(f"`{run.name}`", f"{row['mean_rate']:.3f}", f"{paper['SOPs'] / 1e6:.2f} M",
                f"{paper['E_mJ'] * 1e3:.2f} µJ", one["cores"], steps(one),
                f"{one['energy_uJ']:.1f} µJ", two["cores"], steps(two))


def table():
    results = {}
    for run in RUNS:
        if os.path.exists(run.result):
            with open(run.result) as file:
                results[run] = json.load(file)
    print(SPREAD)
    for recipe in RECIPES:
        rows = [row for run, row in results.items() if run.recipe is recipe]
        if rows:
            values = [[r["top1_R"] for r in rows], *([r["targets"][t]["top1_Q"] for r in rows] for t in TARGETS)]
            print(line(f"{recipe.what} (`{recipe.name}`)", len(rows), *map(spread, values)))
    for head, row_of in ((ACCURACY, accuracy_row), (COST, cost_row)):
        print("\n" + head)
        for run, row in results.items():
            print(row_of(run, row))


def spread(values):
    """Mean and sample standard deviation in percent; of one value, that."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return percent(mean)
    s = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
    return f"{100 * mean:.2f} ± {100 * s:.2f}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("command", choices=("list", "train", "export", "measure", "table"))
    p.add_argument("run", nargs="*", help="default: all")
    p.add_argument("--data", default=DATA, help="folder with the four idx .gz files (default: %(default)s)")
    p.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    p.add_argument("--spikec", default=os.path.join(ROOT, "build", "release", "spikec"), help="(default: %(default)s)")
    p.add_argument("--mapped", type=int, default=1000, metavar="N", help="test images at level M (default: %(default)s)")
    args = p.parse_args()
    runs = chosen(args.run)
    if args.command == "table":
        return table()
    if args.command == "measure":
        runs = [run for run in runs if run.recipe.model]
        for path in (args.spikec, args.data, *(run.weights for run in runs)):
            if not os.path.exists(path):
                raise SystemExit(f"experiments: {path} is not there")
        print(ACCURACY.splitlines()[0], COST.splitlines()[0], sep="\n")
    for run in runs:
        if args.command == "list":
            print(f"{run.name:16s} {run.recipe.what}\n    {' '.join(run.command())}")
        else:
            {"train": train, "export": export, "measure": measure}[args.command](run, args)


if __name__ == "__main__":
    main()
