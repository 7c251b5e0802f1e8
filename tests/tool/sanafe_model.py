"""A stand-in for SANA-FE where its `sim` is not installed: our reading of what its documentation and
sources say about file formats, the order of a step, neurons and costs, written without its code and
without spikec's. It shows that exported files mean what they should by that reading; that the reading
is right, only SANA-FE itself shows (tests/data/sanafe holds what it gave).

    sanafe_model.py ARCH NETWORK STEPS RESULTS      NETWORK: .net or .yaml

Writes spikes.csv, run_summary.yaml and perf.csv. Of the architecture it takes what spikec writes: one
unit of a kind per core, a mesh of which compute tiles come first."""
import os
import re
import sys

import numpy as np
import yaml

LIF = {"threshold": 0.0, "reverse_threshold": -np.inf, "reset": 0.0, "reverse_reset": 0.0,
       "leak_decay": 1.0}


class Arch:
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            a = yaml.safe_load(f)["architecture"]
        self.height = a["attributes"]["height"]
        self.tiles = []  # (hop energies x, y; cores)
        for tile in a["tile"]:
            cores = [core for core in tile["core"] for _ in range(count(core["name"]))]
            self.tiles += [(tile["attributes"], cores)] * count(tile["name"])
        self.first = np.cumsum([0] + [len(c) for _, c in self.tiles])  # core numbers by tile

    def core(self, text):
        tile, within = (int(x) for x in text.split("."))
        return int(self.first[tile]) + within

    def cores(self):
        """Per core: its description, tile number, tile attributes."""
        return [(c, i, attributes) for i, (attributes, cores) in enumerate(self.tiles)
                for c in cores]


def count(name):
    """How many units a name with a range stands for."""
    m = re.search(r"\[(\d+)\.\.(\d+)\]", name)
    return int(m[2]) - int(m[1]) + 1 if m else 1


class Network:
    """Groups as (attributes, spike train or None), edges as arrays over neurons numbered through."""

    def __init__(self, path):
        self.names, self.sizes, self.attributes, self.trains, self.soma = [], [], [], {}, {}
        self.edges, self.place = [], {}
        with open(path, encoding="utf-8") as f:
            if path.endswith(".net"):
                self.netlist(f)
            else:
                self.from_yaml(yaml.safe_load(f))
        self.first = np.cumsum([0] + self.sizes)

    def netlist(self, lines):
        for line in lines:
            kind, rest = line[0], line[2:].strip()
            if kind == "g":
                words = rest.split()
                self.names.append(str(len(self.names)))
                self.sizes.append(int(words[0]))
                self.attributes.append({k: scalar(v) for k, v in (w.split("=") for w in words[1:])})
            elif kind == "n":
                where, _, text = rest.partition(" ")
                self.trains[int(where.split(".")[0])] = \
                    np.array([d == "1" for d in re.findall(r"\d", text.partition("[")[2])])
            elif kind == "e":
                m = re.fullmatch(r"(\d+)\.(\d+)->(\d+)\.(\d+) weight=(\S+?)(?: delay=(\d+))?", rest)
                self.edges.append((*map(int, m.group(1, 2, 3, 4)), float(m[5]), int(m[6] or 0)))
            elif kind == "&":
                m = re.fullmatch(r"(\d+)\.(\d+)@(\d+\.\d+)", rest)
                self.place[(int(m[1]), int(m[2]))] = m[3]

    def from_yaml(self, top):
        number = {}
        for i, g in enumerate(top["network"]["groups"]):
            number[g["name"]] = i
            self.names.append(g["name"])
            self.attributes.append(g["attributes"])
            entry, = g["neurons"]
            if isinstance(entry, dict):
                self.trains[i] = np.array(entry[0]["spikes"], dtype=bool)
                self.sizes.append(1)
            else:
                self.sizes.append(int(str(entry).rpartition("..")[2]) + 1)

        def at(text):
            group, neuron = text.strip().split(".")
            return number[group], int(neuron)
        for edge in top["network"]["edges"]:
            (ends, a), = edge.items()
            source, target = ends.split("->")
            self.edges.append((*at(source), *at(target), float(a["weight"]), a.get("delay", 0)))
        for entry in top["mappings"]:
            (who, a), = entry.items()
            self.place[at(who)] = str(a["core"])


def scalar(text):
    try:
        return float(text)
    except ValueError:
        return text


class Sim:
    def __init__(self, arch, net):
        self.arch, self.net = arch, net
        n = int(net.first[-1])
        described = arch.cores()
        self.core = np.zeros(n, dtype=np.int64)
        for (group, neuron), place in net.place.items():
            self.core[net.first[group] + neuron] = arch.core(place)
        assert len(net.place) == n, "a neuron is not mapped"
        per_group = {k: np.repeat([float(a.get(k, v)) for a in net.attributes], net.sizes)
                     for k, v in LIF.items()}
        self.at = per_group
        self.soft = np.repeat([a.get("reset_mode") == "soft" for a in net.attributes], net.sizes)
        self.under = np.repeat([a.get("reverse_reset_mode") == "hard" for a in net.attributes],
                               net.sizes)
        self.log = np.repeat([bool(a.get("log_spikes", 0)) for a in net.attributes], net.sizes)
        self.is_input = np.zeros(n, dtype=bool)
        for group in net.trains:
            self.is_input[net.first[group]] = True
        soma = [c["soma"][0]["attributes"] for c, _, _ in described]
        self.access, self.update, self.out = (
            np.array([s[f"energy_{k}"] for s in soma], dtype=float)[self.core]
            for k in ("access_neuron", "update_neuron", "spike_out"))
        unit = {k: np.array([c[section][0]["attributes"][f"energy_{k}"] for c, _, _ in described],
                            dtype=float)
                for section, k in (("synapse", "process_spike"), ("axon_in", "message_in"),
                                   ("axon_out", "message_out"), ("dendrite", "update"))}
        self.unit = unit
        self.tile = np.array([i for _, i, _ in described])
        self.hop = {k: np.array([a[f"energy_{k}_hop"] for _, _, a in described], dtype=float)
                    for k in ("east", "west", "north", "south")}
        delays = [c["dendrite"][0]["attributes"]["model"] for c, _, _ in described]
        self.delays = delays[0] == "accumulator_with_delay"
        for c, _, _ in described:  # the two pairs of buffer and dendrite that work
            a = c["attributes"]
            assert (a["buffer_position"], a["buffer_inside_unit"]) == \
                (("dendrite", True) if self.delays else ("soma", False))
        self.connect()

    def connect(self):
        e = np.array(self.net.edges, dtype=float).reshape(-1, 6)
        first = self.net.first
        pre = first[e[:, 0].astype(int)] + e[:, 1].astype(int)
        post = first[e[:, 2].astype(int)] + e[:, 3].astype(int)
        order = np.argsort(pre, kind="stable")
        self.post, self.weight = post[order], e[order, 4]
        self.delay = e[order, 5].astype(int)
        assert not self.is_input[self.post].any(), "an input receives a current"
        assert self.delays or not self.delay.any()
        assert self.delay.max(initial=0) <= 5
        self.row = np.searchsorted(pre[order], np.arange(len(self.core) + 1))
        pairs = np.unique(np.stack([pre, self.core[post]]), axis=1)  # one message each
        x, y = self.tile // self.arch.height, self.tile % self.arch.height
        source, target = self.core[pairs[0]], pairs[1]
        dx, dy = x[target] - x[source], y[target] - y[source]
        cost = (np.maximum(dx, 0) * self.hop["east"][target]
                + np.maximum(-dx, 0) * self.hop["west"][target]
                + np.maximum(dy, 0) * self.hop["north"][target]
                + np.maximum(-dy, 0) * self.hop["south"][target]
                + self.unit["message_in"][target] + self.unit["message_out"][source])
        self.network = np.bincount(pairs[0], weights=cost, minlength=len(self.core))
        self.messages = np.bincount(pairs[0], minlength=len(self.core))

    def run(self, steps):
        n = len(self.core)
        v = np.zeros(n)
        ring = [np.zeros(n) for _ in range(7)]
        heard = [np.zeros(n, dtype=bool) for _ in range(7)]
        self.spikes, self.rows, self.fired, self.sent, self.events = [], [], 0, 0, 0
        for t in range(1, steps + 1):
            current, got = ring[t % 7], heard[t % 7]
            updated = ~self.is_input & ((v != 0) | got)
            if t > 1:
                v = v * self.at["leak_decay"]
            v = np.trunc(v * 64) / 64 + current
            fired = ~self.is_input & (v > self.at["threshold"])
            v = np.where(fired, np.where(self.soft, v - self.at["threshold"], self.at["reset"]), v)
            v = np.where(self.under & (v < self.at["reverse_threshold"]), self.at["reverse_reset"],
                         v)
            v[self.is_input] = 0
            for group, train in self.net.trains.items():
                fired[self.net.first[group]] = t <= len(train) and train[t - 1]
            ring[t % 7], heard[t % 7] = np.zeros(n), np.zeros(n, dtype=bool)
            soma = self.access.sum() + self.update[updated | fired].sum() + self.out[fired].sum()
            self.step(t, fired, ring, heard, soma)
        return self

    def step(self, t, fired, ring, heard, soma):
        who = np.nonzero(fired)[0]
        edges = np.concatenate([np.arange(self.row[i], self.row[i + 1]) for i in who]
                               or [np.zeros(0, dtype=int)])
        for d in range(6 if self.delays else 1):
            e = edges[self.delay[edges] == d]
            np.add.at(ring[(t + 1 + d) % 7], self.post[e], self.weight[e])
            heard[(t + 1 + d) % 7][self.post[e]] = True
        synapse = self.unit["process_spike"][self.core[self.post[edges]]].sum()
        dendrite = self.unit["update"][self.core[self.post[edges]]].sum()
        if self.delays:
            dendrite += self.unit["update"][self.core].sum()
        self.rows.append((synapse, dendrite, soma, self.network[who].sum()))
        self.fired += len(who)
        self.sent += int(self.messages[who].sum())
        self.events += len(edges)
        group = np.searchsorted(self.net.first, who, side="right") - 1
        self.spikes += [f"{self.net.names[g]}.{i - self.net.first[g]},{t}"
                        for g, i in zip(group, who) if self.log[i]]

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "spikes.csv"), "w", encoding="utf-8") as f:
            f.write("\n".join(["neuron,timestep"] + self.spikes) + "\n")
        with open(os.path.join(folder, "perf.csv"), "w", encoding="utf-8") as f:
            f.write("timestep,synapse_energy,dendrite_energy,soma_energy,network_energy\n")
            for t, row in enumerate(self.rows, 1):
                f.write(",".join([str(t)] + [f"{x:.6e}" for x in row]) + "\n")
        total = np.sum(self.rows, axis=0)
        names = ("synapse", "dendrite", "soma", "network")
        lines = [f"timesteps_executed: {len(self.rows)}", f"total_spikes: {self.events}",
                 f"total_messages_sent: {self.sent}", f"total_neurons_fired: {self.fired}",
                 "sim_time: 0", "energy:"]
        lines += [f"  {k}:{x:.6e}" for k, x in zip(names, total)]
        with open(os.path.join(folder, "run_summary.yaml"), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")


def main():
    arch, network, steps, results = sys.argv[1:]
    Sim(Arch(arch), Network(network)).run(int(steps)).write(results)


if __name__ == "__main__":
    main()
