# The first 100 test images, packed and plain, and the example program.
/usr/bin/python3 - <<'END'
import gzip, struct
with gzip.open("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz") as f:
    images = struct.pack(">4I", *struct.unpack(">4I", f.read(16))[:1], 100, 28, 28) + f.read(100 * 784)
open("t10k-images-idx3-ubyte", "wb").write(images)
gzip.open("t10k-images-idx3-ubyte.gz", "wb").write(images)
END
cp "$SPIKEC_SOURCE_DIR/examples/native/classify.c" .
