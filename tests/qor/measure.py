"""The cases of the suite qor, and their figures as the tool gives them.

A case is one `estimate` or `compile` on a target; what the target refuses is a result as well. The
published sizes are estimated, smaller settings of every zoo model are compiled, with weights of
`synth` (fixed seed) where the zoo has none. `time` is the CPU time of the command on one thread
over that of a reference measured in the same run: `synth`, which maps nothing."""
import json
import os
import re
import resource

import spikec_tool as t

LOWERINGS = ("and_lif", "embedded", "product", "serial", "plastic", "engine")
OBJECTIVES = ("traffic", "energy", "latency")
PUBLISHED = {"V2-8-384": (8, 384, 6), "V2-8-768": (8, 768, 12), "V2-16-768": (16, 768, 12)}
SMALL = dict(height=128, width=128, dim=128, depth=2, heads=4, classes=100)
# zoo model: settings that compile in a second or two
COMPILED = {
    "spikformer_v1_cifar10": dict(depth=2),
    "spikformer_v1_cifar10dvs": dict(height=96, width=96, timesteps=4),
    "spikformer_v1_imagenet": SMALL,
    "spikformer_v2": SMALL,
    "spikformer_v2_events": dict(height=96, width=96, timesteps=4),
    "spikformer_v2_fashion": {},
}
TINY = "v2-tiny-exact"  # few tokens: every lowering is possible
REFERENCE = ["synth", "spikformer_v2_fashion", "--rate", 0.1, "--limit", 16]
REPEATS, ENOUGH_S = 3, 0.2  # a command is timed up to so often, but not again after so long

TOTALS = ("cores", "chips", "in_axons", "out_axons", "synapse_bits")
STEPS = ("latency_steps", "interval_steps", "ticks_per_step")
PREDICTED = ("synaptic_events", "messages", "hops", "hops_chip", "max_link_messages",
             "energy_priced_pj", "busy_ns")


def zoo():
    """All but autoencoders, whose encoders are those of other models."""
    names = os.listdir(os.path.join(t.SOURCE, "models"))
    return sorted(n[:-4] for n in names if n.endswith(".spk") and not n.endswith("_mae.spk"))


def targets():
    return t.spikec("target", "list", "--json").json()["targets"]


def settings(values):
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def cases(target):
    """{name: (command, model arguments, further options, who makes the weights)}; weights: None,
    "zoo", "golden", "synth" or "rates" (synth, and its firing rates)."""
    out = {}
    for model in zoo():
        out[f"estimate {model}"] = ("estimate", [model], [], None)
    for name, (depth, dim, heads) in PUBLISHED.items():
        model = ["spikformer_v2", *settings(dict(depth=depth, dim=dim, heads=heads))]
        out[f"estimate {name}"] = ("estimate", model, [], None)
    shown = t.spikec("target", "show", target, "--json").json()["target"]
    smallest = shown["systems"][0]["name"]
    out[f"estimate spikformer_v2 on {smallest}"] = \
        ("estimate", ["spikformer_v2"], ["--system", smallest], None)
    out["estimate spikformer_v2 for traffic"] = \
        ("estimate", ["spikformer_v2"], ["--objective", "traffic"], None)
    for model, values in COMPILED.items():
        shipped = os.path.exists(os.path.join(t.SOURCE, "models", model + ".safetensors"))
        out[f"compile {model}"] = ("compile", [model, *settings(values)], [],
                                   "zoo" if shipped else "synth")
    small = ["spikformer_v2", *settings(COMPILED["spikformer_v2"])]
    out["compile spikformer_v2 with rates"] = ("compile", small, [], "rates")
    for objective in OBJECTIVES:
        out[f"compile spikformer_v2_fashion for {objective}"] = \
            ("compile", ["spikformer_v2_fashion"], ["--objective", objective], "zoo")
    for lowering in LOWERINGS:
        out[f"compile tiny with {lowering}"] = \
            ("compile", t.model_arguments(TINY), ["--attention", lowering], "golden")
    return out


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def dig(value, *path):
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def figures_of(report, mapping):
    """From the JSON of estimate or compile and, of a compiled folder, mapping.json."""
    part = dig(mapping or report, "partition")
    layers = {layer["attention"] for layer in dig(mapping, "layers") or [] if "attention" in layer}
    gap = dig(part, "gap")
    out = {"system": dig(report, "system"),
           "attention": " ".join(sorted(layers)) or dig(report, "attention")}
    out.update({name: dig(report, "totals", name) for name in TOTALS})
    out.update({"lower_bound": dig(part, "lower_bound"),
                "over_bound": None if gap is None else 1 + gap})
    out.update({name: dig(report, name) for name in STEPS})
    if mapping is not None:
        out.update({name: dig(report, "totals", "predicted", name) for name in PREDICTED})
        out["traffic_placed"] = dig(mapping, "traffic_placed")
    return out


class Bench:
    """Measures the cases of one target; weights are made in `folder`, once per model."""

    def __init__(self, target, folder):
        self.target, self.folder, self.made = target, folder, {}
        self.reference_s = float("inf")
        self.seconds = {}

    def timed(self, arguments, ok=(t.DONE,), enough_s=ENOUGH_S):
        """The result and the least CPU time of a few runs."""
        runs = []
        while len(runs) < REPEATS and sum(runs) < enough_s:
            before = cpu_s()
            result = t.spikec(*arguments, "--threads", 1)
            runs.append(cpu_s() - before)
            if result.code not in ok:
                raise AssertionError(f"neither done nor refused:\n{result}")
        return result, min(runs)

    def time_reference(self):
        _, seconds = self.timed([*REFERENCE, "-o", os.path.join(self.folder, "reference")],
                                enough_s=float("inf"))
        self.reference_s = min(self.reference_s, seconds)

    def synth(self, model):
        key = " ".join(model)
        if key not in self.made:
            base = os.path.join(self.folder, f"w{len(self.made)}")
            done = t.spikec("synth", *model, "--rate", 0.1, "--seed", 1, "--limit", 2, "-o",
                            base, "--rates-out", base + ".json", "--quiet")
            if done.code != t.DONE:
                raise AssertionError(str(done))
            self.made[key] = base
        return self.made[key]

    def weights(self, model, source):
        if source == "golden":
            return ["--weights", t.golden(TINY, "weights.safetensors")]
        if source in ("synth", "rates"):
            base = self.synth(model)
            return ["--weights", base] + (["--rates", base + ".json"] if source == "rates" else [])
        return []

    def case(self, name, command, model, options, source):
        """The figures of a case, without `time`, which waits for the reference."""
        out = os.path.join(self.folder, "compiled")
        arguments = [command, *model, "--target", self.target, *options, "--json"]
        arguments += self.weights(model, source) + (["-o", out] if command == "compile" else [])
        result, self.seconds[name] = self.timed(arguments, (t.DONE, t.NO_FIT))
        figures = {"what": " ".join([command, *model, *options])}
        if result.code == t.NO_FIT:
            found = re.search(r"error\[(E\d+)\]", result.err)
            figures["refused"] = found.group(1) if found else "without a code"
            return figures
        mapping = None
        if command == "compile":
            mapping = json.loads(t.read_text(os.path.join(out, "mapping.json")))
        figures.update(figures_of(result.json(), mapping))
        if command == "compile":
            figures["image_bytes"] = os.path.getsize(os.path.join(out, "image.h5"))
        return figures

    def run(self):
        """{case: {figure: value}}"""
        self.time_reference()
        out = {name: self.case(name, *how) for name, how in cases(self.target).items()}
        self.time_reference()
        for name, figures in out.items():
            figures["time"] = self.seconds[name] / self.reference_s
        return out
