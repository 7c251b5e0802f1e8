#!/usr/bin/env python3
"""Runs the network beside this file in Brian 2: its populations, synapses and delays are Brian's own
objects, one clock step is one step of the chip. What the host and embedded processors do (currents of
the first layer, event frames, attention as a task, read-out) are network operations.

    run.py --input FILE [--limit N] [--spikes OUT]

FILE: safetensors with tensor `input`, or IDX bytes (.gz too). OUT: every recorded value [T, B, …] and
`logits` as safetensors. Arithmetic: all state is whole numbers below 2^53, exact in Brian's doubles.
"""
import argparse
import gzip
import json
import os
import struct

import numpy as np
from brian2 import (Network, NetworkOperation, NeuronGroup, Synapses, defaultclock, ms, prefs)

prefs.codegen.target = "numpy"
HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {"U8": "<u1", "I8": "<i1", "I16": "<i2", "I32": "<i4", "U32": "<u4", "F32": "<f4",
         "I64": "<i8", "F64": "<f8"}
CHW, CN, NC, C = 0, 1, 2, 3  # layouts of recorded values


def read_tensors(path):
    with open(path, "rb") as f:
        raw = f.read()
    length = struct.unpack_from("<Q", raw)[0]
    header, data = json.loads(raw[8:8 + length]), raw[8 + length:]
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[slice(*t["data_offsets"])], TYPES[t["dtype"]])
            .reshape(t["shape"]) for name, t in header.items()}


def write_tensors(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, a in tensors.items():
        blob = np.ascontiguousarray(a).tobytes()
        kind = next(k for k, v in TYPES.items() if np.dtype(v) == a.dtype)
        header[name] = {"dtype": kind, "shape": list(a.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_images(path, encoder):
    """[B, C, H, W] or, where there is no encoder, [B, T, C, H, W]."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        raw = f.read()
    if raw[:3] != b"\0\0\x08":
        return read_tensors(path)["input"]
    rank = raw[3]
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    x = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
    x = (x[:, None] if rank == 3 else x).astype(np.float32) / np.float32(255)
    for c in range(encoder["n_norm"]):
        x[:, c] = (x[:, c] - np.float32(encoder["mean"][c])) / np.float32(encoder["std"][c])
    return x


def wrapped(expression, bits):
    """Two's complement wrapping as text for Brian."""
    full, half = float(1 << bits), float(1 << (bits - 1))
    return f"({expression}) - {full}*floor((({expression}) + {half})/{full})"


class Chip:
    def __init__(self, net, tensors, images):
        self.net, self.tensors, self.images = net, tensors, images
        self.layers, self.meta = net["layers"], net["meta"]
        self.groups, self.host, self.state = {}, {}, {}
        self.values, self.outside = {}, 0
        self.objects = []
        defaultclock.dt = 1 * ms
        longest = {}  # payloads that synapses with a delay look back at
        for p in net["projections"]:
            longest[p["source"]] = max(longest.get(p["source"], 0), p["delay"])
        for i, layer in enumerate(self.layers):
            n = layer["channels"] * layer["height"] * layer["width"]
            self.values[i] = np.zeros((len(images), self.meta["timesteps"], n), dtype=np.int64)
            self.add_population(i, layer, n, longest.get(i, 0))
        for e in net["enables"]:
            self.add_enable(e)
        for number, p in enumerate(net["projections"]):
            self.add_projection(number, p)
        self.objects += [NetworkOperation(self.before, when="start", order=0),
                         NetworkOperation(self.after, when="end")]

    # ---- populations ----

    def window(self, start):
        """Statements that set `valid` on the frames of an image, for a population of that start."""
        m = self.meta
        return (f"since = t_in_timesteps - {start}\n"
                f"image = since // {m['interval']}\n"
                f"frame = since % {m['interval']}\n"
                f"valid = int(since >= 0 and frame < {m['timesteps']} and "
                f"image < {len(self.images)})\n")

    def add_population(self, i, layer, n, longest):
        program = layer["program"]
        if program in ("fixed", "prog"):
            g = self.leaky(i, layer, n)
        elif program in ("sum", "product"):
            g = self.graded(i, n, program, longest)
        else:
            g = self.driven(f"layer{i}", n, longest)
        self.groups[i] = g
        self.objects.append(g)

    def leaky(self, i, layer, n):
        bits, name = self.meta["state_bits"], f"layer.{i}."
        limit = float((1 << (bits - 1)) - 1)
        g = NeuronGroup(n, "v : 1\nacc : 1\nbias : 1\ncurrent : 1\nvth : 1\nkeep : 1\nsoft : 1",
                        threshold="v >= vth", reset="v = soft*(v - vth)", name=f"layer{i}")
        code = self.window(layer["start"])
        gated = layer["program"] == "prog"  # resets itself and runs on valid frames only
        code += "old = v*int(frame > 0)\n" if gated else "old = v\n"
        code += ("leaked = sign(old)*floor(abs(old)*keep/4096)\n"
                 f"u = {wrapped('acc + valid*(bias + current)', bits)}\n"
                 f"v = {'valid*' if gated else ''}clip(leaked + u, -{limit}, {limit})\n"
                 "acc = 0\n")
        g.run_regularly(code, when="groups")
        for key in ("vth", "keep", "soft", "bias"):
            setattr(g, key, self.tensors[name + key].astype(float))
        return g

    def graded(self, i, n, program, longest):
        g = NeuronGroup(n, "acc : 1\nacc1 : 1\n" + payloads(longest), threshold="payload != 0",
                        reset="", name=f"layer{i}")
        self.look_back(g, longest)
        value = "acc*acc1" if program == "product" else "acc"
        g.run_regularly(f"payload = {wrapped(value, self.meta['payload_bits'])}\nacc = 0\nacc1 = 0",
                        when="groups")
        return g

    def driven(self, name, n, longest):
        """Fires what a network operation wrote."""
        g = NeuronGroup(n, payloads(longest), threshold="payload != 0", reset="", name=name)
        self.look_back(g, longest)
        return g

    def look_back(self, g, longest):
        if longest:
            names = ["payload"] + [f"payload{d}" for d in range(1, longest + 1)]
            code = "\n".join(f"{names[d]} = {names[d - 1]}" for d in range(longest, 0, -1))
            g.run_regularly(code, when="start", order=-1)

    def add_enable(self, e):
        """One spike per valid frame of a layer: it carries the biases of hard-wired neurons."""
        g = NeuronGroup(1, "payload : 1", threshold="payload != 0", reset="",
                        name=f"enable{e['layer']}")
        g.run_regularly(self.window(e["start"]) + "payload = valid", when="groups")
        self.groups[e["source"]] = g
        self.objects.append(g)

    def add_projection(self, number, p):
        source, target = self.groups[p["source"]], self.groups[p["target"]]
        at = p["delay"] if p["graded"] and p["delay"] else ""
        sent = f"w*payload{at}_pre" if p["graded"] else "w"
        s = Synapses(source, target, "w : 1", name=f"projection{number}",
                     on_pre=f"acc{p['port'] or ''}_post += {sent}", delay=p["delay"] * ms)
        name = f"projection.{number}."
        s.connect(i=self.tensors[name + "pre"].astype(np.int32),
                  j=self.tensors[name + "post"].astype(np.int32))
        s.w = self.tensors[name + "weight"].astype(float)
        self.objects.append(s)

    # ---- host and embedded processors ----

    def frame(self, layer, step):
        since = step - self.layers[layer]["start"]
        image, frame = divmod(since, self.meta["interval"])
        inside = since >= 0 and frame < self.meta["timesteps"] and image < len(self.images)
        return (image, frame) if inside else None

    def before(self, t):
        step = int(round(float(t / ms)))
        encoder = self.net["encoder"]
        if encoder:
            at = self.frame(encoder["layer"], step)
            if at and at[1] == 0:
                self.groups[encoder["layer"]].current = \
                    self.encode(encoder, self.images[at[0]]).ravel().astype(float)
        for i, layer in enumerate(self.layers):
            at = self.frame(i, step)
            if layer["program"] == "input":
                n = self.values[i].shape[2]
                frame = np.asarray(self.images[at[0]][at[1]]).ravel() if at else np.zeros(n)
                self.groups[i].payload = frame.astype(float)
        for task, e in enumerate(self.net["tasks"]):
            self.attention(task, e, self.frame(e["layer"], step))

    def attention(self, task, e, at):
        """A task on a processor: unit * q (k^T v) per head, then the integer neuron."""
        g = self.groups[e["layer"]]
        fired = np.asarray(g.payload[:]).reshape(e["channels"], e["tokens"]).copy()
        d = e["channels"] // e["heads"]
        own = np.zeros(e["channels"], dtype=bool)
        for h in range(e["head_first"], e["head_first"] + e["head_count"]):
            own[h * d + e["column_first"]:h * d + e["column_first"] + e["columns"]] = True
        fired[own] = 0
        if at:
            q, k, v = (self.values[e[x]][at[0], at[1]].reshape(e["channels"], e["tokens"])
                       for x in ("q_layer", "k_layer", "v_layer"))
            count = np.zeros_like(q)
            for h in range(e["heads"]):
                s = slice(h * d, (h + 1) * d)
                count[s] = (k[s] @ v[s].T).T @ q[s]
            half = 1 << (e["bits"] - 1)
            old = self.state.get(task, np.zeros_like(count)) if at[1] else np.zeros_like(count)
            u = (e["unit"] * count + half) % (2 * half) - half
            old = np.sign(old) * ((np.abs(old) * (4096 - e["decay"])) >> 12)
            now = np.clip(old + u, 1 - half, half - 1)
            spikes = now >= e["vth"]
            self.state[task] = np.where(spikes, 0, now)
            fired[own] = spikes[own]
        g.payload = fired.ravel()

    def encode(self, e, image):
        """Currents [channels, positions] of a static image."""
        x = np.round(np.asarray(image, dtype=np.float64) * 2.0 ** e["x_shift"])
        x = np.clip(x, -32767, 32767).astype(np.int64)
        kh, kw = e["kernel_h"], e["kernel_w"]
        x = np.pad(x, ((0, 0), (e["pad_h"],) * 2, (e["pad_w"],) * 2))
        w = self.tensors["enc_w"].astype(np.int64).reshape(e["out_channels"], -1)
        height = (x.shape[1] - kh) // e["stride_h"] + 1
        width = (x.shape[2] - kw) // e["stride_w"] + 1
        out = np.zeros((w.shape[0], height * width), dtype=np.int64)
        for p in range(height * width):
            y, z = p // width * e["stride_h"], p % width * e["stride_w"]
            out[:, p] = w @ x[:, y:y + kh, z:z + kw].ravel()
        out += self.tensors["enc_b"].astype(np.int64)[:, None]
        if e["out_shift"]:
            out = (out + (1 << (e["out_shift"] - 1))) >> e["out_shift"]
        return np.clip(out, -e["m_max"], e["m_max"]) << e["m_exp"]

    def after(self, t):
        """Notes what every population fired, by image and frame."""
        step = int(round(float(t / ms)))
        for i, layer in enumerate(self.layers):
            g = self.groups[i]
            fired = np.asarray(g.spikes)
            if len(fired) == 0:
                continue
            at = self.frame(i, step)
            if at is None:
                self.outside += len(fired)
            elif layer["program"] in ("fixed", "prog"):
                self.values[i][at[0], at[1], fired] = 1
            else:
                self.values[i][at[0], at[1], fired] = np.asarray(g.payload[:])[fired]

    # ---- running ----

    def run(self):
        steps = (len(self.images) - 1) * self.meta["interval"] + self.meta["latency"]
        Network(*self.objects).run(steps * ms)
        if self.outside:
            raise SystemExit(f"{self.outside} spikes outside the frames of their layer")

    def shaped(self, values, layer, layout):
        b, t = values.shape[:2]
        c, h, w = layer["channels"], layer["height"], layer["width"]
        values = values.transpose(1, 0, 2)
        if layout == CHW:
            return values.reshape(t, b, c, h, w)
        values = values.reshape(t, b, c, h * w)
        if layout == C:
            return values.reshape(t, b, c)
        return values.transpose(0, 1, 3, 2) if layout == NC else values

    def recorded(self):
        out = {layer["name"]: self.shaped(self.values[i], layer, layer["layout"])
               for i, layer in enumerate(self.layers) if layer["recorded"]}
        for s in self.net["sums"]:
            out[s["name"]] = self.shaped(sum(self.values[i] for i in s["terms"]),
                                         self.layers[s["terms"][0]], s["layout"])
        return {name: a.astype(np.int32 if a.max(initial=0) > 255 else np.uint8)
                for name, a in out.items()}

    def logits(self):
        head = self.net["head"]
        f = np.zeros((len(self.images), head["channels"]))
        for layer, position, first, n in self.tensors["host_ports"].tolist():
            rows = self.layers[layer]["channels"]
            v = self.values[layer].sum(axis=1).reshape(len(self.images), rows, -1)
            f[:, first:first + n] += v[:, first:first + n, position]
        w = self.tensors["head_w"].astype(np.float64).reshape(head["classes"], head["channels"])
        total = np.zeros((len(self.images), head["classes"]))
        for c in range(head["channels"]):
            total += w[:, c] * f[:, c:c + 1]
        bias = self.tensors["head_b"].astype(np.float64) if "head_b" in self.tensors else 0.0
        return (total / head["divisor"] + bias).astype(np.float32)


def payloads(longest):
    return "".join(f"payload{d or ''} : 1\n" for d in range(longest + 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--input", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--spikes")
    args = parser.parse_args()
    with open(os.path.join(HERE, "network.json"), encoding="utf-8") as f:
        net = json.load(f)
    images = read_images(args.input, net["encoder"])[:args.limit]
    chip = Chip(net, read_tensors(os.path.join(HERE, "network.safetensors")), images)
    chip.run()
    logits, recorded = chip.logits(), chip.recorded()
    if args.spikes:
        write_tensors(args.spikes, {**recorded, "logits": logits})
    for i, row in enumerate(logits):
        print(f"image {i}: class {int(np.argmax(row))}")
    print(f"{sum(int(np.count_nonzero(a)) for a in recorded.values())} spikes recorded")


if __name__ == "__main__":
    main()
