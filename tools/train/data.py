"""Fashion-MNIST from its idx files, normalisation and augmentation."""

import gzip
import os

import numpy as np
import torch
import torch.nn.functional as F

DEFAULT_DATA = "/usr/share/datasets/fashion-mnist"  # Debian package dataset-fashion-mnist
MEAN, STD = 0.2860, 0.3530


def read_idx(path):
    """One idx file of unsigned bytes (gzip or plain) as a numpy array."""
    if not os.path.exists(path) and path.endswith(".gz"):
        path = path[:-3]
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as f:
        raw = f.read()
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an idx file of unsigned bytes")
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(folder, split, limit=0):
    """Images U8 [n, 28, 28] and labels I64 [n]; split is "train" or "t10k"."""
    images = read_idx(os.path.join(folder, f"{split}-images-idx3-ubyte.gz"))
    labels = read_idx(os.path.join(folder, f"{split}-labels-idx1-ubyte.gz"))
    n = limit or len(images)
    return torch.from_numpy(images[:n].copy()), torch.from_numpy(labels[:n].astype(np.int64))


def normalise(images):
    """U8 [n, H, W] -> float [n, 1, H, W], (x/255 - mean)/std."""
    return ((images.float() / 255.0 - MEAN) / STD).unsqueeze(1)


def augment(images, generator, shift=2):
    """A random shift of up to `shift` pixels and a random horizontal flip, per image, on U8 [n, H, W]."""
    n, height, width = images.shape
    windows = F.pad(images, (shift,) * 4).unfold(1, height, 1).unfold(2, width, 1)
    dy, dx = torch.randint(0, 2 * shift + 1, (2, n), generator=generator)
    images = windows[torch.arange(n), dy, dx]
    flip = torch.rand(n, generator=generator) < 0.5
    return torch.where(flip[:, None, None], images.flip(-1), images)
