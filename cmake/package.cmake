# The Debian package: `cpack` in the build folder, or tools/package. The libraries that it needs are
# read from the program (dpkg-shlibdeps); LLVM is loaded on demand and so only recommended.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME spikec)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "the spikec project <spikec@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "compiler and mapper for neuromorphic hardware")
set(CPACK_PACKAGE_DESCRIPTION "spikec compiles spiking vision transformers to neuromorphic chips, prices
 every core, and verifies that the mapped network fires the same spikes.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON) # the linker's cache is told of libspikec
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "")
if(SPIKEC_HAVE_LLVM)
  set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libllvm${SPIKEC_LLVM_VERSION}")
endif()
set(CPACK_DEBIAN_PACKAGE_SUGGESTS
    "dataset-fashion-mnist, python3-brian, python3-numpy, python3-torch, gcc | binutils")
include(CPack)
