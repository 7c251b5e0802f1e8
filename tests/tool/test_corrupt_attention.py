"""corrupt, third part: phases and ticks, learning synapses, attention engines. As test_corrupt.py: an
edit of a compiled image must be found by `check`, by `verify`, or by the reader."""
import unittest

import test_corrupt as base
from test_corrupt import BOTH, CHECK, CORE, EMBEDDED, REFUSED, embedded_task

PLASTIC, SERIAL, ENGINE = "plastic", "serial", "engine"
FOLDERS = {
    PLASTIC: ("v2-tiny-exact", "loihi2", ("--attention", "plastic")),
    SERIAL: ("v2-tiny-exact", "loihi2", ("--attention", "serial")),
    ENGINE: ("v2-tiny-exact", "engine-mesh", ("--attention", "engine")),
    EMBEDDED: base.FOLDERS[EMBEDDED],
}
Q, K, ATTN = "block.0.attn.q_lif", "block.0.attn.k_lif", "block.0.attn.attn_lif"


def phase(layer, **fields):
    """When the spikes of a layer leave."""
    def edit(im):
        im.change("layers", im.layer(layer), **fields)
    return edit


def ticks(n):
    def edit(im):
        im.change("meta", 0, ticks=n)
    return edit


def one_tick_less(im):
    """A step is a tick too short, and q leaves a tick too early."""
    im.change("meta", 0, ticks=lambda n: n - 1)
    layers = im.table("layers")
    layers["phase_base"][layers["phase_base"] > 0] -= 1
    im.put("layers", layers)


def no_teachers(im):
    group, _ = im.group(ATTN)
    im.change("groups", group, teach_first=0xffffffff)


def shared_teachers(im):
    """The teachers are the first neurons."""
    group, _ = im.group(ATTN)
    im.change("groups", group, teach_first=0)


def attention_axon(of, which=0, **fields):
    """An in-axon of the attention neurons' first tile, the which-th of port `of`."""
    def edit(im):
        axons = im.tile(ATTN, "in_axon")
        table = im.table("in_axons")
        im.change("in_axons", [a for a in axons if table[a]["port"] == of][which], **fields)
    return edit


def attention_program(program):
    def edit(im):
        im.change("configs", im.head_of(ATTN), program=program)
    return edit


TABLE = (
    (EMBEDDED, "columns of a head", embedded_task(columns=lambda v: v // 2), REFUSED,
     r"embedded\[0\].columns"),
    (PLASTIC, "k leaves at once", phase(K, phase_position=0), BOTH, f"'{K}'.*leaves at tick"),
    (PLASTIC, "q leaves too early", phase(Q, phase_base=0), BOTH, f"'{Q}'.*leaves at tick"),
    (PLASTIC, "q leaves after the step", phase(Q, phase_base=1000), REFUSED, r"phase_base"),
    (PLASTIC, "a step without ticks", ticks(0), REFUSED, r"meta\[0\].ticks"),
    (PLASTIC, "a tick too few", one_tick_less, BOTH, "ticks, its attention needs"),
    (PLASTIC, "no teachers", no_teachers, CHECK, f"'{ATTN}', {CORE}.*no teachers"),
    (PLASTIC, "teachers are neurons", shared_teachers, CHECK, f"'{ATTN}', {CORE}.*overlap"),
    (PLASTIC, "a read shifted", attention_axon(0, base=lambda b: b + 4), BOTH,
     f"{CORE}.*first neuron of a position"),
    (PLASTIC, "a lesson shifted", attention_axon(2, base=lambda b: b - 4), CHECK,
     f"{CORE}.*first teacher of a tile"),
    (PLASTIC, "a teacher shifted", attention_axon(3, base=lambda b: b - 4), BOTH,
     f"{CORE}.*first teacher of a tile"),
    (PLASTIC, "a lesson that is a read", attention_axon(2, port=0), BOTH,
     f"'{ATTN}', {CORE}.*teachers do not see"),
    (SERIAL, "rows of the sums", phase("attn_lif.acc", phase_div=1), BOTH,
     "attn_lif.acc'.*leaves at tick"),
    (SERIAL, "k leaves in another order", phase(K, phase_position=0, phase_base=1), BOTH,
     f"'{K}'.*leaves at tick"),
    (SERIAL, "a wrong port", attention_axon(1, port=0), BOTH, f"'{ATTN}.acc', {CORE}"),
    (SERIAL, "program", attention_program(1), BOTH, f"'{ATTN}.acc', {CORE}.*program"),
    (SERIAL, "a step too short", ticks(2), REFUSED, "phase_base"),
    (ENGINE, "unit", embedded_task(unit=lambda v: v * 2), BOTH, f"'{ATTN}'.*unit"),
    (ENGINE, "threshold", embedded_task(vth=lambda v: v + 1), BOTH, f"'{ATTN}'.*threshold"),
    (ENGINE, "another head", embedded_task(head_first=1), REFUSED, r"embedded\[0\].head_first"),
    (ENGINE, "on a neuron core", embedded_task(core=0), REFUSED, r"embedded\[0\]"),
    (ENGINE, "its chip", embedded_task(chip=1), REFUSED, r"embedded\[0\].chip"),
    (ENGINE, "operand layer", embedded_task(k_layer=lambda v: v + 1), CHECK, f"'{ATTN}'.*reads"),
    (ENGINE, "token of an axon", attention_axon(4, base=lambda b: b ^ 1), BOTH,
     f"'{ATTN}', {CORE}.*(stands for|exactly once)"),
    (ENGINE, "operand of an axon", attention_axon(4, port=5), BOTH,
     f"'{ATTN}', {CORE}.*(stands for|exactly once)"),
    (ENGINE, "channel of an axon", attention_axon(6, row=lambda r: r + 1), REFUSED, "in_axons.*row"),
    (ENGINE, "token outside", attention_axon(4, base=1000), REFUSED, "in_axons.*base"),
    (ENGINE, "a block for an engine", attention_axon(4, block=0), REFUSED, "in_axons.*block"),
    (ENGINE, "program", attention_program(1), REFUSED, "attention engine"),
)


class Attention(base.Edits):
    given, edits = FOLDERS, TABLE


if __name__ == "__main__":
    unittest.main(verbosity=2)
