mkdir -p build "$HOME/.zfunc" "$HOME/.config/fish/completions"
ln -s "$SPIKEC_BUILD_DIR" build/release
