# Compile flags of the project's own code: target spikec_flags, linked privately by every target.
# Generated and third-party code does not get the warnings.
add_library(spikec_flags INTERFACE)
target_compile_definitions(spikec_flags INTERFACE _GNU_SOURCE) # the one place that defines it
target_include_directories(spikec_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_options(spikec_flags INTERFACE -ffp-contract=off -fno-common)
if(SPIKEC_FAULT_INJECTION)
  target_compile_definitions(spikec_flags INTERFACE SPIKEC_FAULT_INJECTION=1)
endif()

set(SPIKEC_WARNINGS
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wformat=2
    -Wcast-qual -Wconversion -Wsign-conversion -Wdouble-promotion)
if(SPIKEC_WERROR)
  list(APPEND SPIKEC_WARNINGS -Werror)
endif()

set(SPIKEC_AVX2 -mavx2 -mbmi2 -mpopcnt)
set(SPIKEC_AVX512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi2 -mbmi2 -mpopcnt)

if(SPIKEC_SANITIZE)
  add_compile_options(-fsanitize=${SPIKEC_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SPIKEC_SANITIZE})
endif()
if(SPIKEC_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "SPIKEC_FUZZ needs clang (preset fuzz sets CMAKE_C_COMPILER=clang)")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(SPIKEC_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
