/usr/bin/python3 -B "$SPIKEC_SOURCE_DIR/tests/docs/setup/make.py" netx
