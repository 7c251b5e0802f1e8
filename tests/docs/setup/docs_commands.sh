# Images of Fashion-MNIST as symbolic links, tensors of a golden case, a checkpoint, a compiled folder, two that
# differ in a price, a graph of neurons, weights of an autoencoder, firing rates.
ln -s /usr/share/datasets/fashion-mnist/*.gz .
/usr/bin/python3 -B "$SPIKEC_SOURCE_DIR/tests/docs/setup/make.py" golden
cp "$SPIKEC_SOURCE_DIR/tests/data/checkpoints/training.zip.pth" model_best.pth.tar
spikec partition "$SPIKEC_SOURCE_DIR/tests/data/mapbench/dnn-16.cg" --write net.snn
sed 's/23\.6, unit: pJ/47.2, unit: pJ/' "$SPIKEC_SOURCE_DIR/backends/targets/loihi1.yaml" > loihi1.yaml
spikec compile spikformer_v2_fashion --target loihi1 -o a
spikec compile spikformer_v2_fashion --target ./loihi1.yaml -o b
cp -r a out
mkdir -p models/experiments
cp "$SPIKEC_SOURCE_DIR/models/experiments/mae_s1.safetensors" models/experiments/
spikec run spikformer_v2_fashion --limit 2 --input t10k-images-idx3-ubyte.gz --rates-out rates.json
