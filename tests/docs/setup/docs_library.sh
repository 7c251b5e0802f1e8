# The library of this build, installed; a program of it finds it there.
if test -e "$SPIKEC_BUILD_DIR/libspikec.so"; then
    cmake --install "$SPIKEC_BUILD_DIR" --prefix "$PWD/.tree" > .install
    export PKG_CONFIG_PATH="$PWD/.tree/lib/pkgconfig" CMAKE_PREFIX_PATH="$PWD/.tree"
    export LD_LIBRARY_PATH="$PWD/.tree/lib"
fi
