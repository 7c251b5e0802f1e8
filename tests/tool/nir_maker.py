"""NIR files made with h5py, and an independent computation of what they mean: the equations of the
NIR paper, forward Euler, in double precision, one step after the other over the graph."""
import h5py
import numpy as np

VLEN = h5py.string_dtype("utf-8")


def write(path, nodes, edges, metadata=None, texts="vlen", gzip=False, version="1.0.7"):
    """nodes: {name: (type, {key: array}) or (nodes, edges) of a sub-graph}."""
    with h5py.File(path, "w") as h:
        if version:
            text(h, "version", version, texts)
        graph(h.create_group("node"), nodes, edges, texts, gzip)
        for key, value in (metadata or {}).items():
            h[f"node/metadata/{key}"] = value
    return path


def text(group, key, value, texts):
    if texts == "vlen":
        group.create_dataset(key, data=value, dtype=VLEN)
    elif texts == "ascii":
        group.create_dataset(key, data=np.array(value.encode(), dtype=f"S{len(value) + 3}"))
    else:  # space padded, by the low-level interface
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(value) + 3)
        kind.set_strpad(h5py.h5t.STR_SPACEPAD)
        data = h5py.h5d.create(group.id, key.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(value.ljust(len(value) + 3).encode()),
                   mtype=kind)


def graph(group, nodes, edges, texts, gzip):
    text(group, "type", "NIRGraph", texts)
    pairs = np.array(edges, dtype=object).reshape(len(edges), 2)
    if texts == "vlen":
        group.create_dataset("edges", data=pairs, dtype=VLEN)
    else:
        group.create_dataset("edges", data=pairs.astype("S40"))
    inner = group.create_group("nodes")
    for name, (kind, content) in nodes.items():
        node = inner.create_group(name)
        if isinstance(kind, dict):
            graph(node, kind, content, texts, gzip)
            continue
        text(node, "type", kind, texts)
        for key, value in content.items():
            if isinstance(value, str):
                text(node, key, value, texts)
                continue
            value = np.asarray(value)
            packed = gzip and value.ndim > 0 and value.size > 0
            node.create_dataset(key, data=value, chunks=value.shape if packed else None,
                                compression="gzip" if packed else None,
                                compression_opts=4 if packed else None)


def read(path):
    """(nodes, edges) of a file, as `write` takes them."""
    with h5py.File(path, "r") as h:
        return read_graph(h["node"])


def read_graph(group):
    nodes = {}
    for name, node in group["nodes"].items():
        kind = node["type"][()].decode()
        nodes[name] = read_graph(node) if kind == "NIRGraph" else (
            kind, {k: v[()] for k, v in node.items() if k not in ("type", "metadata")})
    edges = [(a.decode(), b.decode()) for a, b in group["edges"][()]] if len(group["edges"]) else []
    return nodes, edges


def port(shape):
    return {"shape": np.array(shape, dtype="<i8")}


# ---- what it means ----

def window(x, kernel, stride, pad):
    """[c, h, w] -> [c, kh, kw, oh, ow]."""
    x = np.pad(x, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
    oh = (x.shape[1] - kernel[0]) // stride[0] + 1
    ow = (x.shape[2] - kernel[1]) // stride[1] + 1
    out = np.empty((x.shape[0], *kernel, oh, ow))
    for y in range(kernel[0]):
        for k in range(kernel[1]):
            out[:, y, k] = x[:, y:y + stride[0] * (oh - 1) + 1:stride[0],
                             k:k + stride[1] * (ow - 1) + 1:stride[1]]
    return out


def pair(p, key, absent):
    return np.broadcast_to(np.asarray(p.get(key, absent)), 2).astype(int)


def conv2d(x, p):
    w, dilation, groups = p["weight"].astype(float), pair(p, "dilation", 1), int(p.get("groups", 1))
    kh = dilation[0] * (w.shape[2] - 1) + 1
    kw = dilation[1] * (w.shape[3] - 1) + 1
    pad = p.get("padding", 0)
    if isinstance(pad, (str, bytes)):
        pad = pad.decode() if isinstance(pad, bytes) else pad
        if pad == "same":  # as PyTorch: the larger half behind
            x = np.pad(x, ((0, 0), ((kh - 1) // 2, kh // 2), ((kw - 1) // 2, kw // 2)))
        pad = 0
    pad = np.broadcast_to(np.asarray(pad), 2).astype(int)
    taps = window(x, (kh, kw), pair(p, "stride", 1), pad)[:, ::dilation[0], ::dilation[1]]
    out = []
    for o in range(w.shape[0]):
        first = o // (w.shape[0] // groups) * w.shape[1]
        out.append(np.einsum("ikl,iklyx->yx", w[o], taps[first:first + w.shape[1]]))
    return np.array(out) + p["bias"].astype(float)[:, None, None]


def conv1d(x, p):
    wide = {**p, "weight": p["weight"][:, :, None, :]}
    for key in ("stride", "dilation"):
        wide[key] = [1, int(np.ravel(p.get(key, 1))[0])]
    pad = p.get("padding", 0)
    wide["padding"] = pad if isinstance(pad, (str, bytes)) else [0, int(np.ravel(pad)[0])]
    return conv2d(x[:, None, :], wide)[:, 0]


def pool(x, p, average):
    kernel = tuple(pair(p, "kernel_size", 1))
    out = window(x, kernel, pair(p, "stride", 1), pair(p, "padding", 0)).sum(axis=(1, 2))
    return out / (kernel[0] * kernel[1]) if average else out


class Simulation:
    """Spikes and values of every node, step by step. A cycle takes the neuron's last spikes."""

    def __init__(self, nodes, edges, dt):
        self.nodes, self.edges, self.dt = {}, [], dt
        self.flat(nodes, edges, "")
        self.state, self.past, self.margin = {}, {}, np.inf

    def flat(self, nodes, edges, prefix):
        for name, (kind, content) in nodes.items():
            if isinstance(kind, dict):
                self.flat(kind, content, prefix + name + ".")
            else:
                self.nodes[prefix + name] = (kind, content)
        inner = {n for n, (kind, _) in nodes.items() if isinstance(kind, dict)}

        def end(name, which):
            if name not in inner:
                return prefix + name
            sub = nodes[name][0]
            found = next(n for n, (kind, _) in sub.items() if kind == which)
            return prefix + name + "." + found
        self.edges += [(end(a, "Output"), end(b, "Input")) for a, b in edges]

    def run(self, frames, name="input"):
        """frames [T, ...] -> {node: [T, ...]}."""
        return self.run_all({name: frames})

    def run_all(self, inputs):
        out = {name: [] for name in self.nodes}
        self.state, self.past = {}, {}
        for t in range(len(next(iter(inputs.values())))):
            self.now, self.busy = {}, set()
            for name, frames in inputs.items():
                self.now[name] = np.asarray(frames[t], dtype=float)
            for name in self.nodes:  # neurons first: a cycle is cut behind them
                if self.nodes[name][0] in ("LIF", "IF", "CubaLIF"):
                    self.value(name)
            for name in self.nodes:
                out[name].append(self.value(name))
            for name in self.nodes:
                self.past.setdefault(name, []).append(self.now[name])
        return {name: np.array(values) for name, values in out.items()}

    def value(self, name):
        if name in self.now:
            return self.now[name]
        kind, p = self.nodes[name]
        if kind == "Delay":
            steps = int(round(float(np.ravel(p["delay"])[0]) / self.dt))
            source = [a for a, b in self.edges if b == name]
            if steps > 0:
                past = [self.past.get(a, []) for a in source]
                values = [v[-steps] if len(v) >= steps else np.zeros(np.shape(p["delay"]))
                          for v in past]
                self.now[name] = sum(values)
                for a in source:
                    if a not in self.busy:
                        self.value(a)
                return self.now[name]
        self.busy.add(name)
        total = 0.0
        for a, b in self.edges:
            if b != name:
                continue
            if a in self.busy:  # feedback
                kind_a, shape = self.nodes[a][0], self.nodes[a][1]
                assert kind_a in ("LIF", "IF", "CubaLIF"), kind_a
                last = self.past.get(a, [])
                total = total + (last[-1] if last else np.zeros(np.shape(shape["r"])))
            else:
                total = total + self.value(a)
        self.busy.discard(name)
        self.now[name] = self.apply(name, kind, p, np.asarray(total, dtype=float))
        return self.now[name]

    def apply(self, name, kind, p, x):
        if kind in ("Input", "Output"):
            return x
        if kind == "Affine":
            return np.reshape(p["weight"], p["weight"].shape[-2:]).astype(float) @ x + p["bias"]
        if kind == "Linear":
            return p["weight"].astype(float) @ x
        if kind == "Scale":
            return x * p["scale"].astype(float)
        if kind == "Conv2d":
            return conv2d(x, p)
        if kind == "Conv1d":
            return conv1d(x, p)
        if kind in ("SumPool2d", "AvgPool2d"):
            return pool(x, p, kind == "AvgPool2d")
        if kind == "Flatten":
            first, last = int(p.get("start_dim", 0)), int(p.get("end_dim", -1)) % x.ndim
            return x.reshape(*x.shape[:first], -1, *x.shape[last + 1:])
        if kind == "Delay":
            return x
        return self.neuron(name, kind, p, x)

    def neuron(self, name, kind, p, x):
        p = {k: np.asarray(v, dtype=float) for k, v in p.items()}
        i, v = self.state.get(name, (np.zeros_like(x), np.zeros_like(x)))
        if kind == "Threshold":
            self.margin = min(self.margin, np.abs(x - p["threshold"]).min())
            return (x > p["threshold"]).astype(float)
        if kind in ("CubaLIF", "CubaLI"):
            i = i + self.dt / p["tau_syn"] * (p.get("w_in", 1.0) * x - i)
            v = v + self.dt / p["tau_mem"] * (p["v_leak"] - v + p["r"] * i)
        elif kind in ("LIF", "LI"):
            v = v + self.dt / p["tau"] * (p["v_leak"] - v + p["r"] * x)
        else:
            v = v + self.dt * p["r"] * x
        if kind in ("LI", "CubaLI", "I"):
            self.state[name] = (i, v)
            return v
        fired = v > p["v_threshold"]
        self.margin = min(self.margin, np.abs(v - p["v_threshold"]).min())
        self.state[name] = (i, np.where(fired, p.get("v_reset", 0.0), v))
        return fired.astype(float)
