"""Files that a page takes for granted: make.py nir | netx | golden, in the folder where it is called."""
import os
import shutil
import sys

import numpy as np

SOURCE = os.environ["SPIKEC_SOURCE_DIR"]
sys.path.insert(0, os.path.join(SOURCE, "tests", "tool"))
import nir_maker  # noqa: E402
import nir_graphs  # noqa: E402
import spikec_tool as t  # noqa: E402
import test_netx  # noqa: E402


def events(*shape):
    frames = np.random.default_rng(1).poisson(0.5, size=(2, *shape)).astype("<f4")
    t.write_tensors("events.safetensors", {"input": frames})


def nir():
    nodes, edges = nir_graphs.chain((4,), nir_graphs.affine(6, 4), nir_graphs.lif((6,)), out=(6,))
    nir_maker.write("net.nir", nodes, edges, {"dt": 1e-4})
    events(100, 4)


def netx():
    test_netx.network("net.net")
    events(test_netx.STEPS, 2, 5, 6)


def golden():
    for name in ("weights", "input"):
        shutil.copy(os.path.join(SOURCE, "tests", "data", "golden", "v2-tiny-exact", f"{name}.safetensors"), ".")


{"nir": nir, "netx": netx, "golden": golden}[sys.argv[1]]()
