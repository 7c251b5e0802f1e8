"""A second chip simulator, written from docs/chip-image.md and docs/integers.md alone: it reads
image.h5 with h5py and executes the tables step by step in numpy. It shares no code with spikec and
is slow; it is there so that the documentation and the simulator are held against each other."""
from collections import defaultdict

import h5py
import numpy as np

NONE = 0xFFFFFFFF
LIST, CONV, PLASTIC = 0, 1, 2
FIXED, PROG, SUM, PRODUCT, ACCUMULATE, GATED, ENGINE = 0, 1, 2, 3, 4, 5, 6
MAIN, SECOND, LEARN, TEACH, OPERANDS = 0, 1, 2, 3, 4
TO_CORE, TO_EMBEDDED, TO_HOST = 0, 1, 2
EVENTS, ENABLE, EMBEDDED = 0, 1, 2


def wrap(x, bits):
    half = 1 << (bits - 1)
    return (x + half) % (1 << bits) - half


def trunc_decay(v, decay):
    return np.sign(v) * ((np.abs(v) * (4096 - decay)) >> 12)


class Rows:
    """A table as plain Python rows."""

    def __init__(self, table):
        self.names = table.dtype.names
        self.rows = [dict(zip(self.names, (int(x) for x in row))) for row in table[()].tolist()]

    def __getitem__(self, i):
        return self.rows[i]

    def __len__(self):
        return len(self.rows)

    def range(self, owner, what):
        first = owner[what + "_first"]
        return self.rows[first:first + owner["n_" + what + "s"]]


class Group:
    """The compartments of one group as arrays over global compartment numbers."""

    def __init__(self, chip, row, core, first):
        self.row, self.layer = row, chip.layers[row["layer"]]
        ny, nx, nc = row["ny"], row["nx"], row["nc"]
        y, x, c = np.meshgrid(np.arange(ny), np.arange(nx), np.arange(nc), indexing="ij")
        at, part = divmod(c, row["slice"])
        local = (row["comp_first"] + at * row["plane"] + (y * row["pitch"] + x) * row["slice"]
                 + part)
        self.compartments = (first + local).ravel()
        self.beside = {}  # compartment -> those of the channels from it on, same position
        if row["slice"] < nc:
            for position in local.reshape(-1, nc).tolist():
                self.beside.update((comp, position[i:]) for i, comp in enumerate(position))
        self.channel = (row["c0"] + c).ravel()
        self.position = ((row["y0"] + y) * self.layer["width"] + row["x0"] + x).ravel()
        entries = chip.channel_config[row["channel_config"]:row["channel_config"] + nc]
        configs = [chip.configs[core["config_first"] + int(e)] for e in entries]
        at = c.ravel()
        self.vth = np.array([k["vth"] for k in configs], dtype=np.int64)[at]
        self.decay = np.array([k["decay"] for k in configs], dtype=np.int64)[at]
        self.keep = np.array([k["current_keep"] for k in configs], dtype=np.int64)[at]
        self.soft = np.array([k["soft_reset"] for k in configs], dtype=bool)[at]
        self.program = configs[0]["program"]
        self.bias = np.zeros(at.size, dtype=np.int64)
        if row["channel_bias"] != NONE:
            b = row["channel_bias"]
            self.bias = chip.biases[b:b + nc].astype(np.int64)[at]
        self.current = np.zeros(at.size, dtype=np.int64)


class Chip:
    TABLES = ("cores groups configs layers blocks contents rows runs in_axons out_axons routes "
              "injections embedded embedded_ports host_ports sums").split()

    def __init__(self, path):
        with h5py.File(path, "r") as f:
            for name in self.TABLES:
                setattr(self, name, Rows(f[name]))
            for name in ("channel_config biases weights orders sum_terms enc_w enc_b head_w head_b").split():
                setattr(self, name, f[name][()])
            self.meta = Rows(f["meta"])[0]
            encoder = f["encoder"][()][0]
            self.encoder = {k: encoder[k] for k in encoder.dtype.names}
            self.head = Rows(f["head"])[0]
            self.strings = [s.decode() for s in f["strings"][()]]
        self.first, n = [], 0
        for core in self.cores.rows:
            self.first.append(n)
            n += core["neurons"]
        self.n = n
        self.core_at = {(c["chip"], c["x"], c["y"]): i for i, c in enumerate(self.cores.rows)}
        self.by_core = [[Group(self, g, core, self.first[i])
                         for g in self.groups.range(core, "group")]
                        for i, core in enumerate(self.cores.rows)]
        self.group_of = {}
        for i, core in enumerate(self.cores.rows):
            for j, g in enumerate(self.by_core[i]):
                self.group_of[core["group_first"] + j] = g
        self.pairs = np.zeros(self.n, dtype=bool)  # multiplies its ports tick by tick
        for g in self.group_of.values():
            self.pairs[g.compartments] = g.program in (ACCUMULATE, GATED)
        self.cache = {}
        self.link_out()

    def order(self, layer):
        """The model's channel of every channel of a layer."""
        l = self.layers[layer]
        n, at = l["channels"], l["order"]
        return np.arange(n) if at == NONE else self.orders[at:at + n].astype(np.int64)

    def name(self, layer):
        return self.strings[self.layers[layer]["name"]]

    def link_out(self):
        """compartment -> [(destination kind, core or task, axon or port, atom)]"""
        self.out = defaultdict(list)
        for i, core in enumerate(self.cores.rows):
            for a in self.out_axons.range(core, "out_axon"):
                r = self.routes[a["route"]]
                to = {TO_CORE: lambda: self.core_at[(r["chip"], r["x"], r["y"])],
                      TO_EMBEDDED: lambda: r["x"], TO_HOST: lambda: 0}[r["dest"]]()
                comps = range(a["comp_first"], a["comp_first"] + a["comp_count"])
                for g in self.by_core[i]:
                    comps = g.beside.get(a["comp_first"], comps)
                for atom in range(a["comp_count"]):
                    self.out[self.first[i] + comps[atom]].append(
                        (r["dest"], to, a["dest_axon"], a["atom_first"] + atom))

    # ---- synapses ----

    def synapses(self, core, axon, atom):
        """(global compartments, signed weights in membrane units, port, delay) of one spike."""
        key = (core, axon, atom)
        if key in self.cache:
            return self.cache[key]
        k = self.cores[core]
        a = self.in_axons[k["in_axon_first"] + axon]
        block = self.blocks[a["block"]]
        content = self.contents[block["content"]]
        row = a["row"] + atom
        where, what = [], []
        if content["kind"] != CONV:
            r = self.rows[content["row_first"] + row]
            for run in self.runs.rows[r["run_first"]:r["run_first"] + r["n_runs"]]:
                where.append(self.first[core] + a["base"] + run["start"] + np.arange(run["length"]))
                w = run["weight_first"]
                what.append(self.weights[w:w + run["length"]])
        else:
            self.convolution(a, content, row, where, what)
        targets = np.concatenate(where) if where else np.zeros(0, dtype=np.int64)
        weights = (np.concatenate(what) if what else np.zeros(0)).astype(np.int64) << block["shift"]
        self.cache[key] = (targets, weights, a["port"], a["delay"])
        return self.cache[key]

    def convolution(self, a, content, row, where, what):
        g = self.group_of[a["group"]]
        sy, sx = divmod(a["base"], a["src_width"])
        kh, kw, nc = content["kernel_h"], content["kernel_w"], content["nc"]
        stride, pad, tile = content["stride"], content["pad"], g.row
        grid = g.compartments.reshape(tile["ny"], tile["nx"], tile["nc"])
        base = content["weight_first"] + row * kh * kw * nc
        w = self.weights[base:base + kh * kw * nc].reshape(kh, kw, nc)
        for ky in range(kh):
            for kx in range(kw):
                oy, ry = divmod(sy + pad - ky, stride)
                ox, rx = divmod(sx + pad - kx, stride)
                oy, ox = oy - tile["y0"], ox - tile["x0"]
                if ry or rx or not (0 <= oy < tile["ny"] and 0 <= ox < tile["nx"]):
                    continue
                where.append(grid[oy, ox])
                what.append(w[ky, kx])

    # ---- running ----

    def frame(self, layer, step):
        """(image, frame) of a layer at a step, or None."""
        t = step - self.layers[layer]["start"]
        if t < 0:
            return None
        image, t = divmod(t, self.meta["interval"])
        return (image, t) if t < self.meta["timesteps"] and image < self.n_images else None

    def leaves(self, layer, channel, position):
        """The tick at which the spike of a neuron leaves."""
        l = self.layers[layer]
        tick = l["phase_base"] + l["phase_position"] * int(position)
        return tick + int(channel) // l["phase_div"] % l["phase_mod"] if l["phase_mod"] else tick

    def learning(self, core, axon):
        a = self.in_axons[self.cores[core]["in_axon_first"] + axon]
        block = self.blocks[a["block"]]
        return a, block, block["kind"] == PLASTIC

    def hear_engine(self, step, core, a, atom):
        task = next(i for i, e in enumerate(self.embedded.rows) if e["core"] == core)
        e, operand = self.embedded[task], a["port"] - OPERANDS
        at = self.frame((e["q_layer"], e["k_layer"], e["v_layer"])[operand], step)
        if at is not None:
            self.heard[(task, operand, *at, a["row"] + atom, a["base"])] = 1

    def send(self, step, core, axon, atom, payload, tick=0):
        a = self.in_axons[self.cores[core]["in_axon_first"] + axon]
        if a["port"] >= OPERANDS:
            self.hear_engine(step, core, a, atom)
            return
        targets, weights, port, delay = self.synapses(core, axon, atom)
        if port > SECOND or self.learning(core, axon)[2] or self.pairs[targets].any():
            self.late[step + delay].append((tick, core, axon, atom, payload))
            return
        acc = self.ring[port][(step + 1 + delay) % self.depth]
        np.add.at(acc, targets, payload * weights)

    def ticks(self, step):
        """What the ticks of a step do to the next: ports that multiply, synapses that learn."""
        acc = self.ring[0][(step + 1) % self.depth]
        weight = defaultdict(int)  # (block, row, target offset)
        late = self.late.pop(step, [])
        for tick in sorted({m[0] for m in late}):
            ports = np.zeros((2, self.n), dtype=np.int64)
            pre, post = set(), set()
            for _, core, axon, atom, payload in (m for m in late if m[0] == tick):
                targets, weights, port, _ = self.synapses(core, axon, atom)
                a, block, learns = self.learning(core, axon)
                row = (a["block"], a["row"] + atom)
                offsets = targets - self.first[core] - a["base"]
                if learns and port == MAIN:
                    now = [weight[(*row, int(i))] << block["shift"] for i in offsets]
                    np.add.at(acc, targets, payload * np.array(now, dtype=np.int64))
                elif port == LEARN:
                    pre |= {(*row, int(i), int(c)) for i, c in zip(offsets, targets)}
                elif port == TEACH:
                    post |= {int(c) for c in targets[weights != 0]}
                else:
                    np.add.at(ports[port], targets, payload * weights)
            acc += ports[0] * ports[1]
            for block, row, offset, teacher in pre:
                if teacher in post:
                    most = (1 << self.blocks[block]["weight_bits"]) - 1
                    key = (block, row, offset)
                    weight[key] = min(weight[key] + 1, most)

    def encode(self, image):
        """Currents [channels, positions] of a static image (integers.md, section 5)."""
        e = self.encoder
        x = np.asarray(image, dtype=np.float64) * 2.0 ** int(e["x_shift"])
        x = np.clip(np.round(x), -32767, 32767).astype(np.int64)  # round: half to even
        ph, pw, sh, sw = (int(e[k]) for k in ("pad_h", "pad_w", "stride_h", "stride_w"))
        kh, kw = int(e["kernel_h"]), int(e["kernel_w"])
        x = np.pad(x, ((0, 0), (ph, ph), (pw, pw)))
        w = self.enc_w.astype(np.int64).reshape(int(e["out_channels"]), -1)
        height = (x.shape[1] - kh) // sh + 1
        width = (x.shape[2] - kw) // sw + 1
        out = np.zeros((w.shape[0], height * width), dtype=np.int64)
        for y in range(height):
            for z in range(width):
                patch = x[:, y * sh:y * sh + kh, z * sw:z * sw + kw].ravel()
                out[:, y * width + z] = w @ patch
        out += self.enc_b.astype(np.int64)[:, None]
        shift = int(e["out_shift"])
        if shift:
            out = (out + (1 << (shift - 1))) >> shift
        return np.clip(out, -int(e["m_max"]), int(e["m_max"])) << int(e["m_exp"])

    def start_run(self, images):
        self.images, self.n_images = images, len(images)
        self.v = np.zeros(self.n, dtype=np.int64)
        self.u = np.zeros_like(self.v)
        longest = max((a["delay"] for a in self.in_axons.rows), default=0)
        self.depth = longest + 2
        self.ring = [np.zeros((self.depth, self.n), dtype=np.int64) for _ in range(2)]
        self.values = {}  # layer -> [T, B, channels, positions]
        for i, l in enumerate(self.layers.rows):
            shape = (self.meta["timesteps"], self.n_images, l["channels"],
                     l["height"] * l["width"])
            self.values[i] = np.zeros(shape, dtype=np.int64)
        self.features = np.zeros((self.n_images, self.head["channels"]), dtype=np.int64)
        self.heard = defaultdict(int)  # (task, operand, image, frame, channel, token) -> 1
        self.task_v = {}
        self.late = defaultdict(list)  # step -> messages that mind their tick
        self.outside = 0

    def record(self, layer, step, channel, position, payload):
        at = self.frame(layer, step)
        if at is None:
            self.outside += 1
        else:
            self.values[layer][at[1], at[0], channel, position] = payload

    def update(self, g, step):
        c, layer = g.compartments, g.row["layer"]
        acc = [self.ring[p][step % self.depth][c] for p in range(2)]
        at = self.frame(layer, step)
        if g.program in (SUM, PRODUCT, ACCUMULATE):
            payload = acc[0] * acc[1] if g.program == PRODUCT else acc[0]
            return wrap(payload, self.meta["payload_bits"])
        if g.program == ENGINE and at is not None:
            fired = self.engine_fired[g.row["core"]]  # of other tasks' columns nothing was heard
            return fired[g.channel, g.position].astype(np.int64)
        if g.program in (PROG, GATED, ENGINE) and at is None:
            return np.zeros(c.size, dtype=np.int64)
        bits = self.meta["state_bits"]
        limit = (1 << (bits - 1)) - 1
        v = self.v[c]
        if g.program in (PROG, GATED) and at[1] == 0:
            v = np.zeros_like(v)
            self.u[c] = 0
        bias = g.bias + g.current if at is not None else 0
        self.u[c] = wrap(trunc_decay(self.u[c], 4096 - g.keep) + acc[0] + bias, bits)
        v = np.clip(trunc_decay(v, g.decay) + self.u[c], -limit, limit)
        fired = v >= g.vth
        self.v[c] = np.where(fired, np.where(g.soft, v - g.vth, 0), v)
        return fired.astype(np.int64)

    def step(self, step):
        e = self.encoder
        if e["present"]:
            at = self.frame(int(e["layer"]), step)
            if at is not None and at[1] == 0:
                currents = self.encode(self.images[at[0]])
                for g in self.group_of.values():
                    if g.row["host_current"]:
                        channel = self.order(int(e["layer"]))[g.channel]
                        g.current = currents[channel, g.position]
        self.compute_tasks(step, True)
        sent = []
        for groups in self.by_core:
            for g in groups:
                payload = self.update(g, step)
                for i in np.nonzero(payload)[0]:
                    self.record(g.row["layer"], step, g.channel[i], g.position[i], payload[i])
                    tick = self.leaves(g.row["layer"], g.channel[i], g.position[i])
                    sent += [(*to, int(payload[i]), tick)
                             for to in self.out[int(g.compartments[i])]]
        for p in range(2):
            self.ring[p][step % self.depth] = 0
        self.compute_tasks(step, False)
        for dest, to, axon, atom, payload, tick in sent:
            if dest == TO_CORE:
                self.send(step, to, axon, atom, payload, tick)
            elif dest == TO_HOST:
                self.read_out(step, axon, atom, payload)
            else:
                self.hear(step, to, axon, atom)
        self.inject(step)
        self.ticks(step)

    def read_out(self, step, port, atom, payload):
        p = self.host_ports[port]
        at = self.frame(p["layer"], step)
        if at is not None:
            channel = self.order(p["layer"])[p["channel_first"] + atom]
            self.features[at[0], channel] += payload

    def hear(self, step, task, port, atom):
        p, e = self.embedded_ports[port], self.embedded[task]
        layer = (e["q_layer"], e["k_layer"], e["v_layer"])[p["operand"]]
        at = self.frame(layer, step)
        if at is not None:
            self.heard[(task, p["operand"], *at, p["channel_first"] + atom, p["position"])] = 1

    def compute_tasks(self, step, engines):
        self.engine_fired = {} if engines else self.engine_fired
        for i, e in enumerate(self.embedded.rows):
            at = self.frame(e["layer"], step)
            if at is None or (e["core"] != NONE) != engines:
                continue
            fired = self.attention(i, e, at)
            if engines:
                self.engine_fired[e["core"]] = fired
            else:
                self.values[e["layer"]][at[1], at[0]] = fired

    def attention(self, task, e, at):
        n, d = e["tokens"], e["channels"] // e["heads"]
        qkv = np.zeros((3, e["channels"], n), dtype=np.int64)
        for (owner, operand, image, frame, channel, token), _ in self.heard.items():
            if owner == task and (image, frame) == at:
                qkv[operand, channel, token] = 1
        count = np.zeros((e["channels"], n), dtype=np.int64)
        for h in range(e["heads"]):
            s = slice(h * d, (h + 1) * d)
            q, k, v = qkv[0, s], qkv[1, s], qkv[2, s]
            count[s] = (k @ v.T).T @ q
        limit = (1 << (e["bits"] - 1)) - 1
        state = self.task_v.get(task)
        if state is None or at[1] == 0:
            state = np.zeros_like(count)
        state = np.clip(trunc_decay(state, e["decay"]) + wrap(e["unit"] * count, e["bits"]),
                        -limit, limit)
        fired = state >= e["vth"]
        self.task_v[task] = np.where(fired, 0, state)
        return fired

    def inject(self, step):
        for j in self.injections.rows:
            t = step - j["start"]
            image, frame = divmod(t, self.meta["interval"]) if t >= 0 else (-1, 0)
            if t < 0 or frame >= self.meta["timesteps"] or image >= self.n_images:
                continue
            if j["kind"] == ENABLE:
                self.send(step, j["core"], j["axon"], 0, 1)
                continue
            channels = slice(j["channel_first"], j["channel_first"] + j["n_channels"])
            if j["kind"] == EVENTS:
                events = np.asarray(self.images[image][frame])
                counts = events.reshape(events.shape[0], -1)[channels, j["position"]]
                self.values[j["layer"]][frame, image, channels, j["position"]] = counts
            else:
                counts = self.values[j["layer"]][frame, image, channels, j["position"]]
            for atom in np.nonzero(counts)[0]:
                self.send(step, j["core"], j["axon"], int(atom), int(counts[atom]))

    def run(self, images):
        """{recorded value: [T, B, axes]} and logits [B, classes] of the images, back to back."""
        self.start_run(images)
        steps = (self.n_images - 1) * self.meta["interval"] + self.meta["latency"]
        for s in range(steps):
            self.step(s)
        return self.tensors(), self.logits()

    def shaped(self, values, like, layout):
        t, b = values.shape[:2]
        if layout == 0:  # chw
            return values.reshape(t, b, like["channels"], like["height"], like["width"])
        if layout == 2:  # nc
            return values.transpose(0, 1, 3, 2)
        return values if layout == 1 else values.reshape(t, b, like["channels"])

    def tensors(self):
        out = {}
        ordered = {}
        for i, l in enumerate(self.layers.rows):
            ordered[i] = np.empty_like(self.values[i])
            ordered[i][:, :, self.order(i)] = self.values[i]
            if l["recorded"]:
                out[self.name(i)] = self.shaped(ordered[i], l, l["layout"])
        for s in self.sums.rows:
            terms = self.sum_terms[s["term_first"]:s["term_first"] + s["n_terms"]]
            total = sum(ordered[int(x)] for x in terms)
            out[self.strings[s["name"]]] = self.shaped(total, self.layers[int(terms[0])],
                                                       s["layout"])
        return out

    def logits(self):
        w = self.head_w.reshape(self.head["classes"], self.head["channels"]).astype(np.float64)
        out = np.zeros((self.n_images, self.head["classes"]), dtype=np.float32)
        for i, f in enumerate(self.features.astype(np.float64)):
            for k in range(self.head["classes"]):
                total = 0.0
                for c, x in enumerate(f):
                    total += w[k, c] * x
                out[i, k] = np.float32(total / self.head["divisor"] + np.float64(self.head_b[k]))
        return out
