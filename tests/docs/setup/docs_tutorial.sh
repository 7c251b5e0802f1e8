# What the page's train.py leaves, for machines without PyTorch; with it, the page trains its own.
cp "$SPIKEC_SOURCE_DIR/tests/docs/setup/tutorial.pth" weights.pth
