"""corrupt: the proofs can fail. A compiled folder's image is edited in one place with h5py; `check`
must name the violation with its place, or `verify` must find the first wrong spike, or the reader
must refuse the file. TABLE says which, edit by edit."""
import os
import shutil
import unittest

import h5py
import numpy as np

import spikec_tool as t

BINARY, GRADED, EMBEDDED, EVENTS = "binary", "graded", "embedded", "events"
FOLDERS = {  # name: (case, target, options)
    BINARY: ("v2-tiny-exact", "loihi1", ("--attention", "embedded")),
    GRADED: ("v2-tiny-exact", "loihi2", ("--attention", "product")),
    EMBEDDED: ("v2-tiny-exact", "loihi2", ("--attention", "embedded")),
    EVENTS: ("v2-tiny-events-exact", "loihi2", ()),
}
# What must find an edit. CHECK: `check` exits with 1. VERIFY: `verify` does, with the first wrong
# value. BOTH. REFUSED: the image is not read at all, exit code 3.
CHECK, VERIFY, BOTH, REFUSED = "check", "verify", "both", "refused"


class Image:
    """An image.h5 open for editing, with the questions that the edits ask."""

    def __init__(self, path):
        self.file = h5py.File(path, "r+")
        self.strings = [s.decode() for s in self.file["strings"][...]]

    def table(self, name):
        return self.file[name][...]

    def put(self, name, rows):
        old = self.file[name]
        if old.shape == rows.shape:
            old[...] = rows
            return
        dtype = old.dtype
        del self.file[name]
        self.file.create_dataset(name, data=rows.astype(dtype))

    def change(self, name, index, **fields):
        rows = self.table(name)
        for field, value in fields.items():
            rows[field][index] = value(rows[field][index]) if callable(value) else value
        self.put(name, rows)

    def layer(self, name):
        """Row of a layer, by a piece of its name."""
        for i, row in enumerate(self.table("layers")):
            if name in self.strings[row["name"]]:
                return i
        raise KeyError(name)

    def layer_name(self, index):
        return self.strings[self.table("layers")[index]["name"]]

    def group(self, layer):
        """The first tile of a layer: (row of groups, core)."""
        groups = self.table("groups")
        index = int(np.argmax(groups["layer"] == self.layer(layer)))
        return index, int(groups[index]["core"])

    def core_range(self, core, what):
        c = self.table("cores")[core]
        return range(c[f"{what}_first"], c[f"{what}_first"] + c[f"n_{what}s"])

    def block_weights(self, block):
        """First weight of a block that is not zero."""
        b = self.table("blocks")[block]
        content, weights = self.table("contents")[b["content"]], self.table("weights")
        if content["kind"] == 1:
            first = content["weight_first"]
        else:
            row = self.table("rows")[content["row_first"]]
            first = self.table("runs")[row["run_first"]]["weight_first"]
        while weights[first] == 0:
            first += 1
        return int(first)

    def head_of(self, layer):
        """The configuration of the first channel of the layer's first tile."""
        group, core = self.group(layer)
        chosen = self.table("channel_config")[self.table("groups")[group]["channel_config"]]
        return self.table("cores")[core]["config_first"] + int(chosen)

    def group_at(self, core, comp):
        """The tile of a core on which a compartment lies."""
        groups = self.table("groups")
        return max(g for g in self.core_range(core, "group")
                   if g == self.table("cores")[core]["group_first"]
                   or groups[g]["comp_first"] <= comp)

    def tile(self, layer, what):
        """The in-axons, blocks or out-axons of the layer's first tile."""
        group, core = self.group(layer)
        own = []
        rows, runs, blocks = self.table("rows"), self.table("runs"), self.table("blocks")
        contents, axons = self.table("contents"), self.table("in_axons")
        outs = self.table("out_axons")
        if what == "out_axon":
            return [i for i in self.core_range(core, what)
                    if self.group_at(core, outs[i]["comp_first"]) == group]
        for i in self.core_range(core, "in_axon"):
            a = axons[i]
            if a["group"] != 0xffffffff or a["block"] == 0xffffffff:
                mine = a["group"] == group or a["block"] == 0xffffffff
            else:
                first = int(contents[blocks[a["block"]]["content"]]["row_first"]) + int(a["row"])
                row = next(rows[r] for r in range(first, first + int(a["atoms"]))
                           if rows[r]["n_runs"])
                run = runs[int(row["run_first"]) + int(row["n_runs"]) - 1]
                last = int(a["base"]) + int(run["start"]) + int(run["length"]) - 1
                mine = self.group_at(core, last) == group
            if mine:
                own.append(i)
        return own if what == "in_axon" else sorted({int(axons[i]["block"]) for i in own})


# ---- the edits: each returns the layers of which one must be named, or None ----

FC1, Q = "block.0.mlp.fc1_lif", "block.0.attn.q_lif"
CONV = "stage1.block0.lif1"


def weight(layer):
    def edit(im):
        block = im.tile(layer, "block")[0]
        weights = im.table("weights")
        where = im.block_weights(block)
        weights[where] = -weights[where] if abs(int(weights[where])) > 8 else weights[where] + 64
        im.put("weights", weights)
    return edit


def threshold(im):
    im.change("configs", im.head_of(FC1), vth=lambda v: v + 64)


def lower_threshold(im):
    """The wrong neuron fires more: also seen in spikes."""
    group, core = im.group(FC1)
    row, first = im.table("groups")[group], im.table("cores")[core]["config_first"]
    own = im.table("channel_config")[row["channel_config"]:row["channel_config"] + row["nc"]]
    for i in sorted({int(first + c) for c in own}):
        im.change("configs", i, vth=lambda v: (v // 256) * 64 + 1)


def odd_threshold(im):
    im.change("configs", im.head_of(FC1), vth=lambda v: v + 1)


def decay(im):
    im.change("configs", im.head_of(FC1), decay=1024)


def program(im):
    im.change("configs", im.head_of(FC1), program=2)


def soft_reset(im):
    im.change("configs", im.head_of(FC1), soft_reset=1)


def bias(im):
    group, _ = im.group(FC1)
    first = im.table("groups")[group]["channel_bias"]
    biases = im.table("biases")
    biases[first + 3] += 3000
    im.put("biases", biases)


def config_choice(im):
    group, core = im.group(FC1)
    first = im.table("groups")[group]["channel_config"]
    chosen = im.table("channel_config")
    n = im.table("cores")[core]["n_configs"]
    chosen[first] = (chosen[first] + 1) % n
    im.put("channel_config", chosen)


def in_delay(layer):
    def edit(im):
        im.change("in_axons", im.tile(layer, "in_axon")[0], delay=lambda d: d + 1)
    return edit


def in_base(im):
    im.change("in_axons", im.tile(CONV, "in_axon")[3], base=lambda b: b + 1)


def in_port(im):
    """A factor of a product."""
    groups, names = im.table("groups"), [im.layer_name(g["layer"]) for g in im.table("groups")]
    name = next(n for g, n in zip(groups, names)
                if im.table("configs")[im.head_of(n)]["program"] == 3)
    im.change("in_axons", im.tile(name, "in_axon")[0], port=lambda p: 1 - p)


def in_block(im):
    """An axon that reads its neighbour's synapses."""
    for core in range(len(im.table("cores"))):
        blocks = im.core_range(core, "block")
        axons = im.table("in_axons")
        for i in im.core_range(core, "in_axon"):
            same = [b for b in blocks if b != axons[i]["block"]
                    and same_shape(im, b, axons[i]["block"])]
            if same:
                im.change("in_axons", i, block=same[0])
                return
    raise AssertionError("no core with two blocks of one shape")


def same_shape(im, a, b):
    blocks, contents = im.table("blocks"), im.table("contents")
    x, y = contents[blocks[a]["content"]], contents[blocks[b]["content"]]
    return blocks[a]["content"] != blocks[b]["content"] and \
        all(x[k] == y[k] for k in ("kind", "kernel_h", "kernel_w", "n_rows", "nc"))


def out_axons_to_cores(im, layer):
    routes = im.table("routes")
    axons = im.table("out_axons")
    return [i for i in im.tile(layer, "out_axon")
            if routes[axons[i]["route"]]["dest"] == 0]


def dest_axon(im):
    """Two entries of one route swap their destinations."""
    axons = im.table("out_axons")
    own = out_axons_to_cores(im, CONV)
    for i in own:
        for j in own:
            if axons[i]["route"] == axons[j]["route"] and \
                    axons[i]["dest_axon"] != axons[j]["dest_axon"] and \
                    axons[i]["comp_first"] != axons[j]["comp_first"]:
                a, b = axons[i]["dest_axon"], axons[j]["dest_axon"]
                im.change("out_axons", i, dest_axon=b)
                im.change("out_axons", j, dest_axon=a)
                return
    raise AssertionError("no two entries of one route")


def dest_axon_double(im):
    axons = im.table("out_axons")
    own = out_axons_to_cores(im, CONV)
    other = next(j for j in own if axons[j]["route"] == axons[own[0]]["route"]
                 and axons[j]["dest_axon"] != axons[own[0]]["dest_axon"])
    im.change("out_axons", own[0], dest_axon=axons[other]["dest_axon"])


def dest_axon_outside(im):
    im.change("out_axons", out_axons_to_cores(im, CONV)[0], dest_axon=1 << 20)


def comp_first(im):
    im.change("out_axons", out_axons_to_cores(im, CONV)[2], comp_first=0)


def comp_first_outside(im):
    im.change("out_axons", out_axons_to_cores(im, CONV)[0], comp_first=1 << 24)


def comp_count(im):
    i = next(i for i in out_axons_to_cores(im, CONV) if im.table("out_axons")[i]["comp_count"] > 1)
    im.change("out_axons", i, comp_count=lambda n: n - 1)


def missing_out_axon(im):
    """The last spike list entry of a core is not there."""
    _, core = im.group(CONV)
    im.change("cores", core, n_out_axons=lambda n: n - 1)


def route_elsewhere(field):
    """The route ends where no core is, or at another one."""
    def edit(im):
        route = im.table("out_axons")[out_axons_to_cores(im, CONV)[0]]["route"]
        taken = {(c["chip"], c["x"], c["y"]): i for i, c in enumerate(im.table("cores"))}
        r = im.table("routes")[route]
        for value in range(16):
            place = (r["chip"], value, r["y"]) if field == "x" else (r["chip"], r["x"], value)
            if value != r[field] and place in taken:
                im.change("routes", route, **{field: value})
                return
        raise AssertionError("no other core in that row")
    return edit


def route_nowhere(im):
    route = im.table("out_axons")[out_axons_to_cores(im, CONV)[0]]["route"]
    im.change("routes", route, x=4000)


def hops(im):
    route = im.table("out_axons")[out_axons_to_cores(im, CONV)[0]]["route"]
    im.change("routes", route, hops_x=lambda h: h + 1)


def drop_injection(kind):
    def edit(im):
        rows = im.table("injections")
        own = np.flatnonzero(rows["kind"] == kind)
        assert len(own), f"no injection of kind {kind}"
        im.put("injections", np.delete(rows, own[len(own) // 2]))
    return edit


def inject(kind, field, by):
    def edit(im):
        own = np.flatnonzero(im.table("injections")["kind"] == kind)
        im.change("injections", own[0], **{field: lambda v: v + by})
    return edit


def enable_axon(im):
    """An enable spike that goes to the axon of another one."""
    rows = im.table("injections")
    own = np.flatnonzero(rows["kind"] == 1)
    for i in own:
        axons = im.core_range(rows[i]["core"], "in_axon")
        if len(axons) > 1:
            im.change("injections", i, axon=(rows[i]["axon"] + 1) % len(axons))
            return
    raise AssertionError("no enable with a neighbour")


def block_shift(im):
    im.change("blocks", im.tile(CONV, "block")[0], shift=lambda s: s + 1)


def block_weight_bits(im):
    im.change("blocks", im.tile(CONV, "block")[0], weight_bits=4)


def block_content(im):
    blocks = im.table("blocks")
    for i, a in enumerate(blocks):
        for j in range(len(blocks)):
            if same_shape(im, i, j):
                im.change("blocks", i, content=blocks[j]["content"])
                return
    raise AssertionError("no two contents of one shape")


def run_start(im):
    """A run of synapses begins one compartment later."""
    runs = im.table("runs")
    rows = im.table("rows")
    for row in rows[::-1]:
        for i in range(row["run_first"], row["run_first"] + row["n_runs"]):
            if runs[i]["length"] > 2:
                im.change("runs", i, start=lambda s: s + 1, length=lambda n: n - 1)
                return


def group_c0(im):
    group, _ = im.group(FC1)
    nc = im.table("groups")[group]["nc"]
    im.change("groups", group, nc=nc - 1, slice=lambda s: min(s, nc - 1))


def group_swap(im):
    """Two tiles of one layer claim each other's place."""
    groups = im.table("groups")
    for i, a in enumerate(groups):
        for j in range(i):
            b = groups[j]
            if a["layer"] == b["layer"] and (a["ny"], a["nx"], a["nc"]) == \
                    (b["ny"], b["nx"], b["nc"]):
                for k in ("y0", "x0", "c0"):
                    groups[k][[i, j]] = groups[k][[j, i]]
                im.put("groups", groups)
                return
    raise AssertionError("no layer with two equal tiles")


def group_outside(im):
    group, _ = im.group(FC1)
    im.change("groups", group, c0=lambda c: c + 4096)


def host_current(im):
    group, _ = im.group("stage0.down_lif")
    im.change("groups", group, host_current=0)


def core_place(im):
    """Two cores at one place."""
    cores = im.table("cores")
    im.change("cores", 1, x=cores[0]["x"], y=cores[0]["y"], chip=cores[0]["chip"])


def core_move(im):
    """A core somewhere else: every route to it ends at an empty place."""
    taken = {(c["x"], c["y"]) for c in im.table("cores") if c["chip"] == 0}
    meta = im.table("meta")[0]
    free = next((x, y) for y in range(meta["cores_y"]) for x in range(meta["cores_x"])
                if (x, y) not in taken)
    im.change("cores", im.group(FC1)[1], x=free[0], y=free[1])


def layer_start(layer, by):
    def edit(im):
        im.change("layers", im.layer(layer), start=lambda s: s + by)
    return edit


def layer_recorded(im):
    im.change("layers", im.layer(FC1), recorded=0)


def layer_name(im):
    """Two layers exchange their names."""
    layers = im.table("layers")
    a, b = im.layer("attn.k_lif"), im.layer("attn.v_lif")
    layers["name"][[a, b]] = layers["name"][[b, a]]
    im.put("layers", layers)


def layer_bound(im):
    im.change("layers", im.layer(FC1), payload_bound=0)


def embedded_task(**fields):
    def edit(im):
        im.change("embedded", 0, **fields)
    return edit


def embedded_port(field, by):
    def edit(im):
        im.change("embedded_ports", 0, **{field: lambda v: v + by})
    return edit


def embedded_operands(im):
    """The first q port reads k."""
    ports = im.table("embedded_ports")
    q = int(np.flatnonzero(ports["operand"] == 0)[0])
    im.change("embedded_ports", q, operand=1)


def host_port(field, by):
    def edit(im):
        im.change("host_ports", 0, **{field: lambda v: v + by})
    return edit


def encoder_weight(im):
    weights = im.table("enc_w")
    weights[5] = -weights[5] - 500
    im.put("enc_w", weights)


def encoder_bias(im):
    biases = im.table("enc_b")
    biases[0] += 1 << 20
    im.put("enc_b", biases)


def encoder_field(**fields):
    def edit(im):
        im.change("encoder", 0, **fields)
    return edit


def head_weight(im):
    weights = im.table("head_w")
    weights[:] = -weights
    im.put("head_w", weights)


def head_divisor(im):
    im.change("head", 0, divisor=lambda d: d * 2)


def sum_terms(im):
    terms = im.table("sum_terms")
    terms[-1] = terms[0]
    im.put("sum_terms", terms)


def interval(by):
    def edit(im):
        im.change("meta", 0, interval=lambda p: p + by)
    return edit


def timesteps(im):
    im.change("meta", 0, timesteps=lambda n: n + 1)


def meta_field(**fields):
    def edit(im):
        im.change("meta", 0, **fields)
    return edit


CORE = r"core \d+ \(chip \d+, x \d+, y \d+\)"
LOGITS = "logits"  # verify sees it in the logits, in sums or outside windows only: no first mismatch

# folder, what is edited, edit, what finds it, words that `check` (REFUSED: both) must say. A pattern
# with a layer's name and CORE wants both in one line.
TABLE = [
    (BINARY, "weight of a dense layer", weight(FC1), CHECK, f"'{FC1}', {CORE}.*weight"),
    (BINARY, "weight of a convolution", weight(CONV), CHECK, f"{CONV}', {CORE}.*weight"),
    (BINARY, "threshold", threshold, CHECK, f"'{FC1}', {CORE}.*threshold"),
    (BINARY, "all thresholds of a core", lower_threshold, BOTH, f"'{FC1}', {CORE}.*threshold"),
    (BINARY, "threshold between the steps", odd_threshold, CHECK, f"{CORE}.*threshold"),
    (BINARY, "decay", decay, CHECK, f"'{FC1}', {CORE}.*decay"),
    (BINARY, "program", program, CHECK, f"{CORE}.*program"),
    (BINARY, "reset", soft_reset, CHECK, f"'{FC1}', {CORE}.*reset"),
    (GRADED, "bias", bias, BOTH, f"'{FC1}', {CORE}.*bias"),
    (BINARY, "a channel's configuration", config_choice, BOTH, f"'{FC1}', {CORE}.*threshold"),
    (BINARY, "delay of an in-axon", in_delay(CONV), BOTH, f"{CORE}.*delay"),
    (GRADED, "delay of an in-axon", in_delay(FC1), BOTH, f"{CORE}.*delay"),
    (BINARY, "base of an in-axon", in_base, BOTH, f"{CORE}.*base"),
    (GRADED, "port of an in-axon", in_port, BOTH, f"{CORE}.*port"),
    (BINARY, "block of an in-axon", in_block, BOTH, f"layer '.*', {CORE}.*weight"),
    (BINARY, "two out-axons exchanged", dest_axon, BOTH, f"layer '.*', {CORE}.*weight"),
    (BINARY, "two out-axons to one in-axon", dest_axon_double, BOTH, f"layer '.*', {CORE}"),
    (BINARY, "out-axon outside", dest_axon_outside, REFUSED, r"out_axons\[\d+\].dest_axon"),
    (BINARY, "first compartment of an out-axon", comp_first, BOTH, f"layer '.*', {CORE}"),
    (BINARY, "compartment outside", comp_first_outside, REFUSED, r"out_axons\[\d+\].comp_first"),
    (BINARY, "compartments of an out-axon", comp_count, CHECK, f"layer '.*', {CORE}.*weight"),
    (BINARY, "an out-axon is missing", missing_out_axon, BOTH, f"layer '.*', {CORE}.*weight"),
    (BINARY, "x of a route", route_elsewhere("x"), REFUSED, "out_axons"),
    (BINARY, "y of a route", route_elsewhere("y"), REFUSED, "out_axons"),
    (BINARY, "a route into the void", route_nowhere, REFUSED, r"routes\[\d+\].x"),
    (BINARY, "hops of a route", hops, CHECK, f"{CORE}.*hops"),
    (BINARY, "an enable spike is missing", drop_injection(1), BOTH, f"layer '.*', {CORE}.*bias"),
    (BINARY, "an injection is missing", drop_injection(2), BOTH, f"layer '.*', {CORE}.*weight"),
    (EVENTS, "an event port is missing", drop_injection(0), BOTH, f"down_lif', {CORE}.*weight"),
    (BINARY, "time of an enable spike", inject(1, "start", 1), BOTH, f"layer '.*', {CORE}.*enable"),
    (EVENTS, "time of events", inject(0, "start", 1), BOTH, f"'events', {CORE}.*step"),
    (EVENTS, "channel of events", inject(0, "channel_first", 1), REFUSED, "channel_first"),
    (BINARY, "token of an injection", inject(2, "position", 1), BOTH, f"layer '.*', {CORE}"),
    (BINARY, "axon of an enable spike", enable_axon, BOTH, f"layer '.*', {CORE}.*bias"),
    (BINARY, "shift of a block", block_shift, BOTH, f"{CORE}.*shift"),
    (BINARY, "weight bits of a block", block_weight_bits, CHECK, f"{CORE}.*bits"),
    (BINARY, "content of a block", block_content, BOTH, f"layer '.*', {CORE}.*weight"),
    (BINARY, "start of a run", run_start, BOTH, f"layer '.*', {CORE}"),
    (GRADED, "start of a run", run_start, CHECK, f"layer '.*', {CORE}"),
    (BINARY, "channels of a tile", group_c0, BOTH, f"'{FC1}'.*on no core"),
    (BINARY, "two tiles exchanged", group_swap, BOTH, f"layer '.*', {CORE}"),
    (BINARY, "a tile outside", group_outside, REFUSED, r"groups\[\d+\].c0"),
    (BINARY, "host currents off", host_current, BOTH, f"down_lif', {CORE}.*host currents"),
    (BINARY, "two cores at one place", core_place, REFUSED, r"cores\[1\].x"),
    (BINARY, "a core elsewhere", core_move, REFUSED, "routes"),
    (BINARY, "a layer one step late", layer_start(FC1, 1), LOGITS, f"'{FC1}', {CORE}.*step"),
    (BINARY, "a layer one step early", layer_start(FC1, -1), LOGITS, f"'{FC1}', {CORE}.*step"),
    (GRADED, "a layer one step late", layer_start(FC1, 1), BOTH, f"'{FC1}', {CORE}.*step"),
    (BINARY, "recorded layer", layer_recorded, CHECK, f"'{FC1}'.*recorded"),
    (BINARY, "two names exchanged", layer_name, BOTH, "attn.[kv]_lif'"),
    (BINARY, "payload bound", layer_bound, REFUSED, "payload_bound"),
    (EMBEDDED, "unit of attention", embedded_task(unit=lambda v: v * 2), BOTH,
     "'block.0.attn.attn_lif'.*unit"),
    (EMBEDDED, "threshold of attention", embedded_task(vth=lambda v: v + 1), BOTH,
     "'block.0.attn.attn_lif'.*threshold"),
    (EMBEDDED, "heads of attention", embedded_task(heads=4, head_count=4, columns=lambda v: v // 2), BOTH,
     "'block.0.attn.attn_lif'.*heads"),
    (EMBEDDED, "no heads", embedded_task(heads=0), REFUSED, r"embedded\[0\].heads"),
    (EMBEDDED, "processor", embedded_task(processor=77), CHECK, "attn_lif'.*processor"),
    (EMBEDDED, "operand layer", embedded_task(k_layer=lambda v: v + 1), CHECK, "attn_lif'.*reads"),
    (EMBEDDED, "token of a port", embedded_port("position", 1), BOTH, f"attn_lif', {CORE}.*port 0"),
    (EMBEDDED, "token outside", embedded_port("position", 1000), REFUSED, r"embedded_ports\[0\]"),
    (EMBEDDED, "operand of a port", embedded_operands, BOTH, f"attn_lif', {CORE}.*port 0"),
    (BINARY, "token of a read-out", host_port("position", 1), CHECK, f"{CORE}.*host port 0"),
    (BINARY, "channel of a read-out", host_port("channel_first", 1), REFUSED, "host_ports"),
    (BINARY, "encoder weight", encoder_weight, BOTH, "encoder weights"),
    (BINARY, "encoder bias", encoder_bias, BOTH, "encoder biases"),
    (BINARY, "encoder clip", encoder_field(m_max=9), BOTH, "m_max"),
    (BINARY, "encoder shift", encoder_field(out_shift=lambda v: v + 1), BOTH, "out_shift"),
    (BINARY, "head weights", head_weight, LOGITS, "head weights"),
    (BINARY, "divisor of the head", head_divisor, LOGITS, "divisor"),
    (BINARY, "a term of a sum", sum_terms, LOGITS, "block.1.out"),
    (BINARY, "interval too short to drain", interval(-10), CHECK, "interval 17.*drain"),
    (BINARY, "timesteps", timesteps, CHECK, "latency"),
    (BINARY, "state bits", meta_field(state_bits=16), BOTH, "state bits"),
    (BINARY, "threshold shift", meta_field(threshold_shift=5), CHECK, "threshold shift"),
    (BINARY, "payload bits", meta_field(payload_bits=8), CHECK, "payload bits"),
    (BINARY, "schema", meta_field(schema=9), REFUSED, "schema"),
]


class CorruptTest(t.ToolTest):
    given = FOLDERS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folders = {}
        for name, (case, target, options) in cls.given.items():
            folder = os.path.join(cls.class_dir, name)
            done = t.spikec("compile", *t.case_arguments(case), "--target", target, "-o", folder,
                            *options)
            assert done.code == t.DONE, done
            cls.folders[name] = (folder, t.golden(case, "input.safetensors"))

    def copy(self, name):
        folder, source = self.folders[name]
        shutil.rmtree(self.path("d"), ignore_errors=True)
        shutil.copytree(folder, self.path("d"))
        return self.path("d"), source


class Edits(CorruptTest):
    edits = TABLE

    def test_untouched(self):
        for name in self.given:
            folder, source = self.copy(name)
            Image(os.path.join(folder, "image.h5")).file.close()
            self.run_tool("check", folder)
            self.run_tool("verify", folder, "--input", source)

    def test_every_edit(self):
        for name, what, edit, finder, words in self.edits:
            with self.subTest(folder=name, edit=what):
                folder, source = self.copy(name)
                image = Image(os.path.join(folder, "image.h5"))
                edit(image)
                image.file.close()
                self.found(folder, source, finder, words)

    def found(self, folder, source, finder, words):
        if finder == REFUSED:
            for command in (["check", folder], ["verify", folder, "--input", source],
                            ["simulate", folder, "--input", source]):
                done = self.run_tool(*command, expect=t.BAD_INPUT)
                self.assertRegex(done.err, words)
            return
        done = self.run_tool("check", folder, "--json", expect=t.DIFFERENCE)
        self.assertGreater(done.json()["violations"], 0)
        self.assertRegex(done.err, words)
        done = t.spikec("verify", folder, "--input", source, "--json")
        if finder in (BOTH, LOGITS):
            self.assertEqual(done.code, t.DIFFERENCE, done)
            report = done.json()
            self.assertGreater(sum(report[k] for k in (
                "mismatches", "sum_mismatches", "logit_mismatches", "spikes_outside_windows")), 0)
            if finder == BOTH:
                self.located(folder, report["first_mismatch"])
        t.spikec("simulate", folder, "--input", source)  # whatever comes of it: no crash

    def located(self, folder, first):
        """The place of the first mismatch is one that the layer really has."""
        self.assertIsNotNone(first)
        self.assertNotEqual(first["expected"], first["got"])
        with h5py.File(os.path.join(folder, "image.h5"), "r") as f:
            layers, meta, cores = f["layers"][...], f["meta"][...][0], f["cores"][...]
            names = [f["strings"][...][row["name"]].decode() for row in layers]
            layer = names.index(first["layer"])
            self.assertEqual(first["step"], first["image"] * int(meta["interval"]) +
                             int(layers[layer]["start"]) + first["frame"])
            if layers[layer]["kind"] == 5:  # computed by an embedded processor
                tasks = f["embedded"][...]
                self.assertIn(first["chip"], tasks[tasks["layer"] == layer]["chip"])
                self.assertIsNone(first["core"])
                return
            self.assertEqual(first["chip"], int(cores[first["core"]]["chip"]))
            groups = f["groups"][...]
            self.assertIn(layer, groups[groups["core"] == first["core"]]["layer"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
