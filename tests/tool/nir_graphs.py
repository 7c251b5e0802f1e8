"""NIR graphs for the suites: one for every primitive and for what graphs can be, and the checks that
they share."""
import numpy as np

import nir_maker as make
import spikec_tool as t

F4, F8, I8 = "<f4", "<f8", "<i8"
STEPS = 12


def f4(*shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(F4)


def full(shape, value, dtype=F4):
    return np.full(shape, value, dtype)


def lif(shape, dtype=F4, tau=0.004, threshold=0.3, **more):
    return ("LIF", {"tau": full(shape, tau, dtype), "r": full(shape, 1.0, dtype),
                    "v_leak": full(shape, 0.0, dtype), "v_threshold": full(shape, threshold, dtype),
                    "v_reset": full(shape, 0.0, dtype), **more})


def cuba(shape, **more):
    return ("CubaLIF", {"tau_syn": full(shape, 0.003), "tau_mem": full(shape, 0.005),
                        "r": full(shape, 1.5), "v_leak": full(shape, 0.0),
                        "v_threshold": full(shape, 0.4), "v_reset": full(shape, 0.0),
                        "w_in": full(shape, 2.0), **more})


def affine(out, size, seed=1, scale=1.0):
    return ("Affine", {"weight": f4(out, size, seed=seed, scale=scale),
                       "bias": f4(out, seed=seed + 50, scale=0.3)})


def conv(shape, seed=2, **more):
    return ("Conv2d", {"weight": f4(*shape, seed=seed, scale=0.6), "bias": f4(shape[0], seed=3),
                       "stride": np.array([1, 1], I8), "padding": np.array([1, 1], I8),
                       "dilation": np.array([1, 1], I8), "groups": np.array(1, I8), **more})


def chain(shape, *nodes, out):
    """Nodes in a row between input and output: (nodes, edges)."""
    names = ["input"] + [f"n{i}" for i in range(len(nodes))] + ["output"]
    table = {"input": ("Input", make.port(shape)), "output": ("Output", make.port(out))}
    table.update(zip(names[1:-1], nodes))
    return table, list(zip(names, names[1:]))


# name: ((nodes, edges), input shape)
IMAGE = (2, 6, 7)
ROW = (3, 9)
GRAPHS = {
    "lif": (chain((4,), affine(6, 4), lif((6,)), out=(6,)), (4,)),
    "lif_parameters": (chain((4,), affine(6, 4), ("LIF", {
        "tau": np.linspace(0.002, 0.009, 6).astype(F4), "r": np.linspace(0.5, 2, 6).astype(F8),
        "v_leak": np.linspace(-0.2, 0.3, 6).astype(F4),
        "v_threshold": np.linspace(0.2, 0.6, 6).astype(F8),
        "v_reset": np.linspace(-0.3, 0.2, 6).astype(F4)}), out=(6,)), (4,)),
    "lif_channels": (chain((4,), affine(6, 4), ("LIF", {
        "tau": full((6,), 0.004), "r": np.linspace(0.5, 2, 6).astype(F8),
        "v_leak": np.linspace(-0.2, 0.3, 6).astype(F4),
        "v_threshold": np.linspace(0.2, 0.6, 6).astype(F8),
        "v_reset": full((6,), 0.0)}), out=(6,)), (4,)),
    "lif_taus": (chain((4,), affine(6, 4), lif((6,), **{
        "tau": np.linspace(0.002, 0.009, 6).astype(F4)}), out=(6,)), (4,)),
    "cuba_channels": (chain((4,), affine(5, 4), cuba(
        (5,), w_in=np.linspace(0.5, 3, 5).astype(F4),
        v_threshold=np.linspace(0.3, 0.6, 5).astype(F4)), out=(5,)), (4,)),
    "if": (chain((4,), ("Linear", {"weight": f4(6, 4)}), ("IF", {
        "r": full((6,), 300.0), "v_threshold": full((6,), 0.9),
        "v_reset": full((6,), 0.1)}), out=(6,)), (4,)),
    "if_0": (chain((4,), ("Linear", {"weight": f4(6, 4)}), ("IF", {
        "r": full((6,), 300.0), "v_threshold": full((6,), 0.9),
        "v_reset": full((6,), 0.0)}), out=(6,)), (4,)),
    "cuba": (chain((4,), affine(6, 4), cuba((6,)), out=(6,)), (4,)),
    "cuba_parameters": (chain((4,), affine(5, 4), cuba(
        (5,), tau_syn=np.linspace(0.002, 0.006, 5).astype(F4),
        w_in=np.linspace(0.5, 3, 5).astype(F4), v_leak=full((5,), 0.1),
        v_reset=full((5,), -0.2)), out=(5,)), (4,)),
    "li": (chain((4,), affine(6, 4), ("LI", {"tau": full((6,), 0.005), "r": full((6,), 2.0),
                                             "v_leak": full((6,), 0.25)}), out=(6,)), (4,)),
    "i": (chain((4,), affine(6, 4), ("I", {"r": full((6,), 100.0)}), out=(6,)), (4,)),
    "cuba_li": (chain((4,), affine(3, 4), ("CubaLI", {
        "tau_syn": full((3,), 0.004), "tau_mem": full((3,), 0.006), "r": full((3,), 1.0),
        "v_leak": full((3,), 0.0), "w_in": full((3,), 1.5)}), out=(3,)), (4,)),
    "threshold": (chain((4,), affine(6, 4), ("Threshold", {
        "threshold": np.linspace(-0.5, 1, 6).astype(F4)}), out=(6,)), (4,)),
    "scale": (chain((4,), ("Scale", {"scale": f4(4, seed=9)}), lif((4,), threshold=0.2), out=(4,)),
              (4,)),
    "scale_map": (chain(IMAGE, ("Scale", {"scale": f4(*IMAGE, seed=9)}), lif(IMAGE, threshold=0.1),
                        out=IMAGE), IMAGE),
    "conv2d": (chain(IMAGE, conv((4, 2, 3, 3)), lif((4, 6, 7)), out=(4, 6, 7)), IMAGE),
    "conv2d_odd": (chain(IMAGE, conv((4, 1, 3, 2), stride=np.array([2, 1], I8),
                                     padding=np.array([2, 1], I8), dilation=np.array([2, 3], I8),
                                     groups=np.array(2, I8), input_shape=np.array([6, 7], I8)),
                         lif((4, 3, 6)), out=(4, 3, 6)), IMAGE),
    "conv2d_same": (chain(IMAGE, conv((3, 2, 4, 3), padding="same"), lif((3, 6, 7)),
                          out=(3, 6, 7)), IMAGE),
    "conv2d_valid": (chain(IMAGE, conv((3, 2, 2, 3), padding="valid"), lif((3, 5, 5)),
                           out=(3, 5, 5)), IMAGE),
    "conv1d": (chain(ROW, ("Conv1d", {"weight": f4(4, 3, 3), "bias": f4(4, seed=3),
                                      "stride": np.array(2, I8), "padding": np.array(1, I8),
                                      "dilation": np.array(1, I8), "groups": np.array(1, I8),
                                      "input_shape": np.array(9, I8)}), lif((4, 5)), out=(4, 5)),
               ROW),
    "conv1d_point": (chain(ROW, ("Conv1d", {"weight": f4(4, 3, 1), "bias": f4(4, seed=3),
                                            "stride": np.array([1], I8), "padding": "valid"}),
                           lif((4, 9)), out=(4, 9)), ROW),
    "sum_pool": (chain(IMAGE, ("SumPool2d", {"kernel_size": np.array([2, 3], I8),
                                             "stride": np.array([2, 2], I8),
                                             "padding": np.array([0, 1], I8)}),
                       lif((2, 3, 4), threshold=0.7), out=(2, 3, 4)), IMAGE),
    "avg_pool": (chain(IMAGE, ("AvgPool2d", {"kernel_size": np.array([2, 2], I8),
                                             "stride": np.array([2, 2], I8),
                                             "padding": np.array([0, 0], I8)}),
                       lif((2, 3, 3), threshold=0.3), out=(2, 3, 3)), IMAGE),
    "flatten": (chain(IMAGE, conv((2, 2, 3, 3)), lif((2, 6, 7)), ("Flatten", {
        "input_type": np.array([2, 6, 7], I8), "start_dim": np.array(0, I8),
        "end_dim": np.array(-1, I8)}), affine(5, 84, scale=0.3), lif((5,)), out=(5,)), IMAGE),
    "delay": (chain((4,), affine(6, 4), lif((6,)), ("Delay", {"delay": full((6,), 0.003)}),
                    affine(5, 6, seed=4), lif((5,)), out=(5,)), (4,)),
}


def residual():
    nodes = {"input": ("Input", make.port((4,))), "a": affine(6, 4), "b": lif((6,)),
             "c": affine(6, 6, seed=5), "d": lif((6,)), "e": affine(3, 6, seed=6), "f": lif((3,)),
             "output": ("Output", make.port((3,)))}
    edges = [("input", "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("b", "e"), ("d", "e"),
             ("e", "f"), ("f", "output"), ("b", "d")]
    return nodes, edges


def recurrent(delayed=False):
    nodes = {"w_rec": affine(6, 6, seed=7), "input": ("Input", make.port((4,))), "fc": affine(6, 4),
             "z": cuba((6,)), "out": affine(3, 6, seed=8), "last": lif((3,)),
             "output": ("Output", make.port((3,)))}
    edges = [("w_rec", "z"), ("input", "fc"), ("fc", "z"), ("z", "out"), ("out", "last"),
             ("last", "output")]
    if not delayed:
        return nodes, edges + [("z", "w_rec")]
    nodes["wait"] = ("Delay", {"delay": full((6,), 0.004)})
    return nodes, edges + [("z", "wait"), ("wait", "w_rec")]


def nested():
    block, inside = chain((4,), affine(6, 4), lif((6,)), out=(6,))
    inner, within = chain((6,), affine(3, 6, seed=4), lif((3,)), out=(3,))
    deep = {"input": ("Input", make.port((6,))), "core": (inner, within),
            "output": ("Output", make.port((3,)))}
    nodes = {"input": ("Input", make.port((4,))), "block": (block, inside),
             "deep": (deep, [("input", "core"), ("core", "output")]),
             "output": ("Output", make.port((3,)))}
    return nodes, [("input", "block"), ("block", "deep"), ("deep", "output")]


GRAPHS["residual"] = (residual(), (4,))
GRAPHS["recurrent"] = (recurrent(), (4,))
GRAPHS["recurrent_delay"] = (recurrent(True), (4,))
GRAPHS["nested"] = (nested(), (4,))
SPIKING = ("LIF", "IF", "CubaLIF", "Threshold")


def counts(shape, seed=11, images=2):
    return np.random.default_rng(seed).poisson(0.5, size=(images, STEPS, *shape)).astype(F4)


class Base(t.ToolTest):
    def write(self, nodes, edges, name="g.nir", dt=0.001, **how):
        return make.write(self.path(name), nodes, edges, {} if dt is None else {"dt": dt}, **how)

    def run_graph(self, path, frames, *more):
        """(spikes, logits)"""
        t.write_tensors(self.path("x.st"), {"input": frames})
        self.run_tool("run", path, "--set", f"timesteps={frames.shape[1]}", "--input",
                      self.path("x.st"), "--spikes", self.path("s.st"), "--out",
                      self.path("y.st"), "--quiet", *more)
        logits = t.read_tensors(self.path("y.st"))
        return t.read_tensors(self.path("s.st")), next(iter(logits.values()))

    def assert_computes(self, path, nodes, edges, frames, *more):
        spikes, logits = self.run_graph(path, frames, *more)
        for image in range(len(frames)):
            s = make.Simulation(nodes, edges, 0.001)
            want = s.run(frames[image])
            self.assertGreater(s.margin, 1e-5, "a membrane near its threshold proves nothing")
            fired = 0
            for name, (kind, _) in s.nodes.items():
                if kind in SPIKING:
                    got = spikes[name][:, image].reshape(STEPS, -1)
                    np.testing.assert_array_equal(got, want[name].reshape(STEPS, -1), name)
                    fired += got.sum()
                    self.assertTrue(0 < got.sum() < got.size, f"{name} tells nothing")
            mean = want["output"].reshape(STEPS, want["output"].shape[1], -1).mean(axis=(0, 2))
            np.testing.assert_allclose(logits[image], mean, rtol=1e-4, atol=1e-5)
        return spikes
