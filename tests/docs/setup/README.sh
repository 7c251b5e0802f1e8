# With the slow listings: a tree as a clone has it, to be built and demonstrated from nothing.
if [ "${SPIKEC_DOCS:-}" = all ]; then
    (cd "$SPIKEC_SOURCE_DIR" && tar -c --exclude=./build --exclude=./.git --exclude=__pycache__ .) | tar -x
fi
