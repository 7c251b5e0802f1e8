"""Makes the checkpoints of this folder. Needs PyTorch (python3-torch); the tests do not.

    python3 make.py [FOLDER]

Every file holds the tensors of expected(), under the names that README.md tells; values are small
integers and quarters, so that every float type holds them exactly."""
import argparse
import os
import sys
from collections import OrderedDict

import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 2, bias=False)
        self.bn = torch.nn.BatchNorm2d(3)
        self.head = torch.nn.Linear(3, 4)


def filled(module, first=0.0):
    """Parameters and buffers count up in quarters."""
    at = first
    for tensor in module.state_dict().values():
        if not tensor.dtype.is_floating_point:
            tensor.fill_(7)
            continue
        n = tensor.numel()
        tensor.copy_(torch.arange(n).reshape(tensor.shape) * 0.25 + at)
        at += 1.0
    return module


def cast(state, dtype):
    return OrderedDict((k, v.to(dtype) if v.dtype.is_floating_point else v)
                       for k, v in state.items())


def training(net):
    """What a training script leaves: several steps of an optimiser, its arguments, an average."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.5)
    frozen = OrderedDict((k, v.clone()) for k, v in net.state_dict().items())
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    average = OrderedDict((k, v + 1 if v.dtype.is_floating_point else v)
                          for k, v in frozen.items())
    return {"epoch": 3, "arch": "net", "state_dict": frozen, "optimizer": optimizer.state_dict(),
            "args": argparse.Namespace(lr=0.5, data="somewhere", betas=(0.5, 0.75)),
            "version": 2, "best": 2 ** 70, "metric": 0.5, "state_dict_ema": average}


def strided():
    """Tensors that do not lie in one piece, or share a storage."""
    base = torch.arange(24.0)
    grid = base.reshape(4, 6)
    return OrderedDict([
        ("base", base), ("grid", grid), ("turned", grid.t()), ("column", grid[:, 2]),
        ("window", grid[1:3, 1:5]), ("step", base[1::3]), ("tied", grid[2]),
        ("spread", torch.tensor([3.0]).expand(2, 3)), ("scalar", torch.tensor(2.5)),
        ("none", torch.zeros(0, 3)), ("turned4", torch.arange(16.0).reshape(2, 2, 2, 2).permute(
            3, 1, 0, 2))])


def types():
    def ramp(dtype):
        return torch.arange(-2, 4).to(dtype)
    return {"f64": ramp(torch.float64) / 4, "f32": ramp(torch.float32) / 4,
            "f16": ramp(torch.float16) / 4, "bf16": ramp(torch.bfloat16) / 4,
            "i64": ramp(torch.int64), "i32": ramp(torch.int32), "i16": ramp(torch.int16),
            "i8": ramp(torch.int8), "u8": torch.arange(6).to(torch.uint8),
            "bool": torch.tensor([True, False, True])}


def both(folder, name, value, **options):
    torch.save(value, os.path.join(folder, name + ".zip.pth"), **options)
    torch.save(value, os.path.join(folder, name + ".old.pth"),
               _use_new_zipfile_serialization=False, **options)


def main(folder):
    net = filled(Net())
    state = net.state_dict()
    both(folder, "plain", state)
    both(folder, "dict", dict(state))
    both(folder, "parameters", dict(net.named_parameters()))
    both(folder, "parallel", {"model": torch.nn.DataParallel(net).state_dict()})
    both(folder, "half", {"state_dict": cast(state, torch.float16)})
    both(folder, "bfloat", {"model": {"state_dict": cast(state, torch.bfloat16)}})
    both(folder, "double", {"net": cast(state, torch.float64)})
    both(folder, "nested", {"conv": net.conv.state_dict(), "bn": dict(net.bn.state_dict()),
                            "head": {"weight": net.head.weight, "bias": net.head.bias}})
    both(folder, "strided", strided())
    both(folder, "types", types())
    both(folder, "training", training(filled(Net())))
    torch.save(net, os.path.join(folder, "whole.zip.pth"))
    both(folder, "protocol4", state, pickle_protocol=4)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
