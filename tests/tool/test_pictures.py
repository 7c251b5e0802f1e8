"""Pictures and event recordings as inputs. What the tool made of a file is read back from `synth
--input-out`, which writes the images that it used; where PIL is installed, it is the judge of decoding
and resampling. PNG, PPM, .npy and AEDAT files are made here, byte by byte."""
import io
import os
import struct
import unittest
import zlib

import numpy as np

import spikec_tool as t

try:
    from PIL import Image
except ImportError:
    Image = None

NEURON = """neuron lif(tau = 2.0, v_th = 1.0) {
    state v = 0.0;
    charge v = v + (input - v) / tau;
    fire v >= v_th;
    reset v = 0.0;
}
"""
BODY = """    let x = tokens(lif(batchnorm(conv2d(image, 4, 3, stride = 2, pad = 1) as "c") as "b") as "lif");
    output logits = linear(mean(x, tokens, time), 3) as "head";
}
"""
MODEL = NEURON + """model pictures(height = 16, width = 16) {
    input image : frame[%d, height, width] repeat 2 normalise mean %s std %s;
""" + BODY
EVENTS = NEURON + """model recordings(height = 16, width = 16, steps = 4) {
    input image : frames[%d, height, width] steps steps;
""" + BODY
RNG = np.random.default_rng(7)


def smooth(height, width, channels):
    """Waves with some noise: content at all scales."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 60 * np.sin(x / (3 + c)) + 60 * np.cos(y / (5 + c)) for c in range(channels)]
    noise = RNG.integers(-20, 20, (height, width, channels))
    return np.clip(np.stack(waves, 2) + noise, 0, 255).astype(np.uint8)


def ppm(pixels):
    h, w, c = pixels.shape
    return f"P{6 if c == 3 else 5}\n# a comment\n{w} {h}\n255\n".encode() + pixels.tobytes()


def png(pixels, color, depth=8, more=b""):
    """pixels [H, bytes of a row]; colour type and depth as in the PNG specification."""
    h, row = pixels.shape[0], pixels.reshape(pixels.shape[0], -1)
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    width = row.shape[1] * 8 // (samples * depth)

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))

    lines = b"".join(b"\0" + r.tobytes() for r in row)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, h, depth, color,
                                                              0, 0, 0)) +
            more + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def luma(rgb):
    r, g, b = (rgb[..., i].astype(np.int64) for i in range(3))
    return ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16).astype(np.uint8)


class Base(t.ToolTest):
    def read(self, path, model, *options, **how):
        """The input as the tool takes it: [B, C, H, W] or [B, T, C, H, W]."""
        t.write_text(self.path("m.spk"), model)
        out = self.path("used.safetensors")
        if os.path.exists(out):
            os.remove(out)
        result = self.run_tool("synth", self.path("m.spk"), "--rate", "0.2", "-o",
                               self.path("w.safetensors"), "--input", path, "--input-out", out,
                               *options, **how)
        return t.read_tensors(out)["input"] if result.code == t.DONE else result

    def file(self, name, data):
        t.write_bytes(self.path(name), data)
        return self.path(name)


class Pictures(Base):
    COLOUR = MODEL % (3, "[0.0, 0.0, 0.0]", "[1.0, 1.0, 1.0]")
    GREY = MODEL % (1, "0.0", "1.0")

    def pixels(self, path, *options, grey=False):
        """Bytes [H, W, C] that the model was given."""
        x = self.read(path, self.GREY if grey else self.COLOUR, *options)
        self.assertEqual(len(x), 1)
        values = np.rint(x[0].astype(np.float64) * 255).astype(np.uint8).transpose(1, 2, 0)
        self.assertTrue((x[0] == (values / np.float32(255)).astype("<f4").transpose(2, 0, 1)).all())
        return values

    def test_formats(self):
        rgb = smooth(16, 16, 3)
        grey = smooth(16, 16, 1)
        alpha = RNG.integers(0, 256, (16, 16, 1), np.uint8)
        palette = RNG.integers(0, 256, (16, 3), np.uint8)
        index = RNG.integers(0, 16, (16, 16), np.uint8)
        packed = (index[:, 0::2] << 4 | index[:, 1::2]).astype(np.uint8)
        plte = struct.pack(">I", 48) + b"PLTE" + palette.tobytes() + struct.pack(
            ">I", zlib.crc32(b"PLTE" + palette.tobytes()))
        deep = np.stack([rgb, RNG.integers(0, 256, rgb.shape, np.uint8)], 3)
        bits = RNG.integers(0, 256, (16, 2), np.uint8)
        cases = {
            "ppm": (ppm(rgb), rgb), "pgm": (ppm(grey), np.repeat(grey, 3, 2)),
            "rgb": (png(rgb, 2), rgb), "rgba": (png(np.concatenate([rgb, alpha], 2), 6), rgb),
            "grey": (png(grey, 0), np.repeat(grey, 3, 2)),
            "grey_alpha": (png(np.concatenate([grey, alpha], 2), 4), np.repeat(grey, 3, 2)),
            "palette": (png(packed, 3, 4, plte), palette[index]),
            "deep": (png(deep.reshape(16, -1), 2, 16), rgb),
            "bits": (png(bits, 0, 1), np.repeat(np.unpackbits(bits, 1)[:, :, None] * 255, 3, 2)),
        }
        for name, (data, want) in cases.items():
            with self.subTest(file=name):
                path = self.file(name, data)
                self.assertTrue((self.pixels(path) == want).all())
                one = want[:, :, :1] if (want[..., 0] == want[..., 1]).all() else \
                    luma(want)[:, :, None]
                self.assertTrue((self.pixels(path, grey=True) == one).all())

    def test_normalisation(self):
        rgb = smooth(16, 16, 3)
        x = self.read(self.file("x.png", png(rgb, 2)),
                      MODEL % (3, "[0.5, 0.25, 0.125]", "[0.5, 0.25, 2.0]"))
        f = np.float32
        want = np.stack([(rgb[..., c].astype(f) / f(255) - f(m)) / f(s)
                         for c, (m, s) in enumerate(((0.5, 0.5), (0.25, 0.25), (0.125, 2.0)))])
        self.assertTrue((x[0] == want).all())
        bare = self.COLOUR.replace(" normalise mean [0.0, 0.0, 0.0] std [1.0, 1.0, 1.0]", "")
        self.read(self.path("x.png"), bare, expect=t.BAD_INPUT, says="normalisation")

    @unittest.skipIf(Image is None, "PIL is not installed")
    def test_resampling_is_that_of_pil(self):
        for h, w in ((16, 16), (64, 64), (50, 93), (93, 50), (7, 11), (18, 19), (200, 31)):
            for c, mode in ((3, "RGB"), (1, "L")):
                pixels = smooth(h, w, c)
                path = self.file("x.ppm", ppm(pixels))
                image = Image.fromarray(pixels if c == 3 else pixels[:, :, 0], mode)
                for name, filter_ in (("bicubic", Image.BICUBIC), ("bilinear", Image.BILINEAR)):
                    for side in (None, 16, 20, 33):
                        with self.subTest(size=(h, w), mode=mode, filter=name, side=side):
                            options = ["--interpolation", name]
                            options += ["--resize", side] if side else []
                            got = self.pixels(path, *options, grey=c == 1)
                            want = self.torchvision(image, side, filter_)
                            self.assertTrue((got == want.reshape(got.shape)).all())

    @staticmethod
    def torchvision(image, side, filter_):
        """Resize(side) and CenterCrop(16) as torchvision does them on PIL images."""
        w, h = image.size
        if side is None and (w, h) == (16, 16):
            return np.asarray(image)
        side = side or 18  # 16 / 0.875
        new = (side, int(side * h / w)) if w <= h else (int(side * w / h), side)
        image = image.resize(new, filter_)
        left, top = int(round((new[0] - 16) / 2.0)), int(round((new[1] - 16) / 2.0))
        return np.asarray(image.crop((left, top, left + 16, top + 16)))

    @unittest.skipIf(Image is None, "PIL is not installed")
    def test_jpeg_and_png_are_those_of_pil(self):
        for c, mode in ((3, "RGB"), (1, "L")):
            pixels = smooth(70, 90, c)
            image = Image.fromarray(pixels if c == 3 else pixels[:, :, 0], mode)
            for form, options in (("JPEG", {"quality": 90}), ("PNG", {}),
                                  ("JPEG", {"quality": 60, "progressive": True})):
                out = io.BytesIO()
                image.save(out, form, **options)
                read = Image.open(io.BytesIO(out.getvalue()))
                for grey in (False, True):
                    with self.subTest(mode=mode, form=form, grey=grey):
                        got = self.pixels(self.file("x", out.getvalue()), grey=grey)
                        want = self.torchvision(read.convert("L" if grey else "RGB"), None,
                                                Image.BICUBIC)
                        self.assertTrue((got == want.reshape(got.shape)).all())
            cut = out.getvalue()[:len(out.getvalue()) * 2 // 3]
            self.read(self.file("x", cut), self.COLOUR, expect=t.BAD_INPUT, says="JPEG")
        out = io.BytesIO()
        Image.fromarray(smooth(16, 16, 3), "RGB").convert("CMYK").save(out, "JPEG")
        self.read(self.file("x", out.getvalue()), self.COLOUR, expect=t.BAD_INPUT, says="CMYK")

    def test_refusals(self):
        good = png(smooth(16, 16, 3), 2)
        wrong = bytearray(good)
        wrong[60] ^= 1
        for name, data, says in (
                ("cut", good[:-20], "PNG"), ("crc", bytes(wrong), "PNG"),
                ("huge", good[:16] + struct.pack(">II", 1 << 20, 1 << 20) + good[24:], "PNG"),
                ("ppm_cut", ppm(smooth(16, 16, 3))[:-1], "cut off"),
                ("ppm_max", b"P6 16 16 65535 " + bytes(2000), "255"),
                ("ppm_size", b"P6 99999 99999 255 " + bytes(2000), "cut off"),
                ("ppm_empty", b"P6 0 0 255\n" + bytes(2000), "empty"),
                ("ppm_header", b"P6 x         ", "header")):
            with self.subTest(file=name):
                self.read(self.file("x", data), self.COLOUR, expect=t.BAD_INPUT, says=says)
        path = self.file("x.png", good)
        self.read(path, self.COLOUR, "--resize", "15", expect=t.BAD_INPUT, says="15 x 15")
        self.read(path, self.COLOUR, "--interpolation", "nearest", expect=t.USAGE, says="nearest")
        self.read(path, EVENTS % 2, expect=t.BAD_INPUT, says="event frames")
        self.read(path, MODEL % (2, "[0.0, 0.0]", "[1.0, 1.0]"), expect=t.BAD_INPUT,
                  says="2 channels")

    def test_every_place_of_a_png_cut(self):
        data = png(smooth(16, 16, 1), 0)
        for n in range(8, len(data), 29):
            self.read(self.file("x", data[:n]), self.GREY, expect=t.BAD_INPUT, says="PNG")


class Folders(Base):
    FASHION = ("run", "spikformer_v2_fashion", "--json")

    def images(self, n):
        return RNG.integers(0, 256, (n, 28, 28), np.uint8)

    def idx(self, name, array):
        return self.file(name, struct.pack(">BBBB", 0, 0, 8, array.ndim) +
                         struct.pack(f">{array.ndim}I", *array.shape) +
                         array.astype(np.uint8).tobytes())

    def test_folder_is_the_same_as_idx(self):
        """Sorted by name, whatever the format; labels by name in any order."""
        images = self.images(5)
        os.mkdir(self.path("in"))
        names = ["a.png", "b.pgm", "c10.png", "c2.png", "d.pgm"]
        for name, image in zip(names, images):
            data = png(image, 0) if name.endswith("png") else ppm(image[:, :, None])
            t.write_bytes(self.path("in", name), data)
        t.write_bytes(self.path("in", ".hidden"), b"no picture")
        labels = [3, 1, 4, 1, 5]
        want = self.run_tool(*self.FASHION, "--input", self.idx("x", images), "--labels",
                             self.idx("y", np.array(labels)), "--out", self.path("o1")).json()
        lines = [f"{n},{k}" for n, k in zip(names, labels)]
        texts = {"csv": "file,label\n" + "\n".join(reversed(lines)) + "\nother.png,9\n",
                 "blanks": "\r\n".join(x.replace(",", "  ") for x in lines) + "\r\n",
                 "alone": "\n".join(map(str, labels))}
        for key, text in texts.items():
            with self.subTest(labels=key):
                t.write_text(self.path("labels"), text)
                got = self.run_tool(*self.FASHION, "--input", self.path("in"), "--labels",
                                    self.path("labels"), "--out", self.path("o2")).json()
                self.assertEqual(got["images"], 5)
                self.assertEqual(got["top1"], want["top1"])
                self.assertEqual(t.read_bytes(self.path("o1")), t.read_bytes(self.path("o2")))
        got = self.run_tool(*self.FASHION, "--input", self.path("in"), "--limit", 2,
                            "--labels", self.path("labels")).json()
        self.assertEqual(got["images"], 2)

    def test_labels_follow_names(self):
        """Each picture labelled with the answer: all right; with another: none."""
        images = self.images(4)
        os.mkdir(self.path("in"))
        for i, image in enumerate(images):
            t.write_bytes(self.path("in", f"p{i}.png"), png(image, 0))
        self.run_tool(*self.FASHION, "--input", self.path("in"), "--out", self.path("o"))
        answer = t.read_tensors(self.path("o"))["logits"].argmax(1)
        for shift, top1 in ((0, 1.0), (1, 0.0)):
            t.write_text(self.path("l"), "".join(f"p{i}.png {(answer[i] + shift) % 10}\n"
                                                 for i in (2, 0, 3, 1)))
            got = self.run_tool(*self.FASHION, "--input", self.path("in"), "--labels",
                                self.path("l")).json()
            self.assertEqual(got["top1"], top1)

    def test_refusals(self):
        os.mkdir(self.path("in"))
        run = (*self.FASHION, "--input", self.path("in"))
        self.run_tool(*run, expect=t.BAD_INPUT, says="no image")
        for i, image in enumerate(self.images(2)):
            t.write_bytes(self.path("in", f"p{i}.png"), png(image, 0))
        for text, says in (("p0.png 1\n", "p1.png"), ("p0.png 1\np1.png 10\n", "no class"),
                           ("p0.png 1\np0.png 1\np1.png 2\n", "two labels"),
                           ("p0.png 1\np1.png cat\n", "'cat' is no label")):
            t.write_text(self.path("l"), text)
            self.run_tool(*run, "--labels", self.path("l"), expect=t.BAD_INPUT, says=says)
        t.write_bytes(self.path("in", "q.txt"), b"no picture")
        self.run_tool(*run, expect=t.BAD_INPUT, says="q.txt")


class Recordings(Base):
    def events(self, n, size=16):
        out = np.zeros(n, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "|u1")])
        out["t"] = 1000 + np.sort(RNG.integers(0, 5000, n))
        out["x"], out["y"] = RNG.integers(0, size, (2, n))
        out["p"] = RNG.integers(0, 2, n)
        return out

    def npy(self, array, name="e.npy", **how):
        out = io.BytesIO()
        np.lib.format.write_array(out, array, **how)
        return self.file(name, out.getvalue())

    @staticmethod
    def frames(e, steps, by, channels, size=16):
        """Frames the slow way: which events lie between the borders of each."""
        out = np.zeros((steps, channels, size, size), "<f4")
        n, span = len(e), int(e["t"][-1] - e["t"][0]) // steps
        for s in range(steps):
            if by == "count":
                part = e[s * (n // steps):n if s == steps - 1 else (s + 1) * (n // steps)]
            else:
                low = e["t"][0] + s * span
                part = e[(e["t"] >= low) & ((e["t"] < low + span) | (s == steps - 1))]
            for _, x, y, p in part:
                out[s, p if channels == 2 else 0, y, x] += 1
        return out

    def test_npy(self):
        e = self.events(1001)
        table = np.stack([e[k].astype(np.int64) for k in "txyp"], 1)
        other = np.zeros(len(e), [("p", "?"), ("pad", "<f4"), ("y", "<i4"), ("t", "<f8"),
                                  ("x", "<f4")])
        for k in "txyp":
            other[k] = e[k]
        signed = table.copy()
        signed[:, 3] = signed[:, 3] * 2 - 1
        for name, array in (("records", e), ("other", other), ("table", table),
                            ("signed", signed), ("float", table.astype("<f8")),
                            ("small", table.astype("<u2"))):
            for version in ((1, 0), (2, 0)):
                path = self.npy(array, version=version)
                for by in ("time", "count"):
                    for channels in (2, 1):
                        with self.subTest(form=name, by=by, channels=channels):
                            x = self.read(path, EVENTS % channels, "--frames", by)
                            self.assertTrue((x[0] == self.frames(e, 4, by, channels)).all())
        default = self.read(path, EVENTS % 2)
        self.assertTrue((default[0] == self.frames(e, 4, "time", 2)).all())

    def aedat(self, e, layout):
        """Addresses of a DVS128; the sensor's column and row from what is wanted in the end."""
        column, row = (127 - e["x"], e["y"]) if layout == "dvs128" else (127 - e["y"], 127 - e["x"])
        address = column.astype(int) << 1 | row.astype(int) << 8 | (1 - e["p"].astype(int))
        body = b"".join(struct.pack(">II", a, s) for a, s in zip(address, e["t"]))
        extra = struct.pack(">II", 0x8000, int(e["t"][-1]))  # not from a pixel
        return b"#!AER-DAT2.0\r\n# made for a test\r\n" + body + extra

    def test_aedat(self):
        e = self.events(700, 128)
        model = (EVENTS % 2).replace("= 16", "= 128")
        for layout in ("dvs128", "cifar10dvs"):
            path = self.file("e.aedat", self.aedat(e, layout))
            for by in ("time", "count"):
                with self.subTest(layout=layout, by=by):
                    x = self.read(path, model, "--aedat", layout, "--frames", by)
                    self.assertTrue((x[0] == self.frames(e, 4, by, 2, 128)).all())
        turned = self.read(path, model)  # of the other layout
        self.assertFalse((turned[0] == self.frames(e, 4, "time", 2, 128)).all())
        self.assertEqual(turned.sum(), 700)

    def test_folder(self):
        os.mkdir(self.path("in"))
        parts = [self.events(50) for _ in range(3)]
        for i, e in enumerate(parts):
            out = io.BytesIO()
            np.save(out, e)
            t.write_bytes(self.path("in", f"{i}.npy"), out.getvalue())
        x = self.read(self.path("in"), EVENTS % 2)
        self.assertEqual(x.shape, (3, 4, 2, 16, 16))
        for got, e in zip(x, parts):
            self.assertTrue((got == self.frames(e, 4, "time", 2)).all())

    def test_few_events(self):
        for e in (self.events(0), self.events(1), self.events(3)):
            x = self.read(self.npy(e), EVENTS % 2)
            self.assertEqual(x.sum(), len(e))

    def test_refusals(self):
        e = self.events(20)
        whole = t.read_bytes(self.npy(e))
        big = e.astype([("t", ">i8"), ("x", ">u2"), ("y", ">u2"), ("p", "|u1")])
        late, far, odd = e.copy(), e.copy(), e.copy()
        late["t"][10] = 0
        far["x"][3] = 16
        odd["p"][3] = 2
        half = np.stack([e[k].astype("<f4") for k in "txyp"], 1)
        half[5, 1] = 0.5
        cases = {
            "cut": (whole[:-1], "not what its shape needs"), "header": (whole[:40], "cut off"),
            "version": (whole[:6] + b"\x09" + whole[7:], "version"),
            "shape": (whole.replace(b"(20,)", b"(21,)"), "not what its shape needs"),
            "huge": (whole.replace(b"(20,), ", b"(99999999999999,),").replace(b"}  ", b"}  "),
                     "shape needs"),
            "object": (whole.replace(b"'<i8'", b"'|O8'"), "little-endian"),
            "dict": (whole.replace(b"descr", b"wrong"), "little-endian"),
            "address": (b"#!AER-DAT2.0\n" + struct.pack(">II", 0x10000, 0), "DVS128"),
            "within": (b"#!AER-DAT2.0\n" + bytes(7), "within an event"),
            "no_line": (b"#!AER-DAT2.0", "cut off"),
        }
        for name, array in (("big", big), ("three", half[:, :3]), ("fortran", np.asfortranarray(
                half)), ("rank", half[None]), ("names", e[["t", "x", "y"]].copy())):
            out = io.BytesIO()
            np.lib.format.write_array(out, np.asarray(array))
            cases[name] = (out.getvalue(), "events must be")
        for name, array, says in (("late", late, "backwards"), ("far", far, "x 16"),
                                  ("odd", odd, "no event"), ("half", half, "whole")):
            out = io.BytesIO()
            np.save(out, array)
            cases[name] = (out.getvalue(), says)
        for name, (data, says) in cases.items():
            with self.subTest(file=name):
                self.read(self.file("e", data), EVENTS % 2, expect=t.BAD_INPUT, says=says)
        path = self.npy(e)
        self.read(path, EVENTS % 3, expect=t.BAD_INPUT, says="3 channels")
        self.read(path, Pictures.COLOUR, expect=t.BAD_INPUT, says="still images")
        self.read(path, EVENTS % 2, "--frames", "often", expect=t.USAGE, says="often")


if __name__ == "__main__":
    unittest.main()
