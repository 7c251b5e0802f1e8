# What `spikec --version` and `spikec doctor` say of the build, in words for config.h.
set(SPIKEC_BUILD_WORDS "${CMAKE_BUILD_TYPE}")
if(SPIKEC_SANITIZE)
  string(APPEND SPIKEC_BUILD_WORDS ", sanitizers ${SPIKEC_SANITIZE}")
endif()
if(SPIKEC_COVERAGE)
  string(APPEND SPIKEC_BUILD_WORDS ", coverage")
endif()
if(SPIKEC_FAULT_INJECTION)
  string(APPEND SPIKEC_BUILD_WORDS ", fault injection")
endif()
set(SPIKEC_LIBRARY_WORDS "jansson ${JANSSON_VERSION}, HDF5 ${HDF5_VERSION}, libpng ${PNG_VERSION}, \
libjpeg ${JPEG_VERSION}, libyaml ${YAML_VERSION}, zlib ${ZLIB_VERSION_STRING}")

# The commit that the tool was made from, looked up anew by every build: generated/commit.h, which
# only the tool includes, so that nothing else is made anew for it.
add_custom_target(spikec_commit
  COMMAND ${CMAKE_COMMAND} -D SOURCE=${CMAKE_SOURCE_DIR} -D HEADER=${CMAKE_BINARY_DIR}/generated/commit.h
          -P ${CMAKE_SOURCE_DIR}/cmake/commit.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/commit.h VERBATIM)
