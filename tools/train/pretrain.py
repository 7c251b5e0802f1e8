#!/usr/bin/env python3
"""Pre-train the spiking encoder without labels, as a masked autoencoder (autoencoder.py), on the CPU.

Stages, checkpoints and --resume are those of train.py. `train.py --init CHECKPOINT` fine-tunes from the result.
"""

import argparse

import torch

import data
import recipe
from autoencoder import MaskedAutoencoder, random_mask


def parse_args(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stages", default="1:20:2e-3", help="list of T:epochs:peak_lr (default: %(default)s)")
    p.add_argument("--mask-ratio", type=float, default=0.6,
                   help="part of the patches that is hidden (default: %(default)s)")
    p.add_argument("--normalise-patches", action="store_true", help="predict pixels normalised per patch")
    p.add_argument("--decoder-dim", type=int, default=64, help="(default: %(default)s)")
    p.add_argument("--decoder-depth", type=int, default=2, help="(default: %(default)s)")
    p.add_argument("--decoder-heads", type=int, default=4, help="(default: %(default)s)")
    recipe.add_options(p, "masked_autoencoder")
    return p.parse_args(argv)


@torch.no_grad()
def test_loss(model, images, args, batch=250):
    """The loss on test images, always under the same masks."""
    model.eval()
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for part in images.split(batch):
        mask = random_mask(len(part), model.grid[0] * model.grid[1], args.mask_ratio, generator)
        total += float(model.loss(data.normalise(part), mask, args.normalise_patches)[0]) * len(part)
    return total / len(images)


def main(argv=None):
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    config = recipe.config_of(args, recipe.parse_stages(args.stages)[-1][0])
    model = MaskedAutoencoder(config, args.decoder_dim, args.decoder_depth, args.decoder_heads)
    model = model.to(memory_format=torch.channels_last)
    images, test_images = (data.load(args.data, split, args.limit)[0] for split in ("train", "t10k"))

    def step(index, x, generator):
        mask = random_mask(len(x), model.grid[0] * model.grid[1], args.mask_ratio, generator)
        return model.loss(x, mask, args.normalise_patches)[0], ""

    def measure(epoch, last):
        return {"test_loss": round(test_loss(model, test_images, args), 4)}

    decoder = {"dim": args.decoder_dim, "depth": args.decoder_depth, "heads": args.decoder_heads}
    recipe.run(args, model, config, images, step, measure, decoder=decoder)


if __name__ == "__main__":
    main()
