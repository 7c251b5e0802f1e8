# Third-party libraries, all Debian packages. Each is used by one file pair or folder only.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5-serial)
pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
if(BUILD_TESTING)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()
find_package(FLEX 2.6)
find_package(BISON 3.8)

# METIS and Scotch ship no pkg-config file; both are optional (SPIKEC_HAVE_… in config.h).
find_path(METIS_INCLUDE metis.h)
find_library(METIS_LIBRARY metis)
find_path(SCOTCH_INCLUDE scotch.h PATH_SUFFIXES scotch)
find_library(SCOTCH_LIBRARY scotch)
find_library(SCOTCHERR_LIBRARY scotcherr)
add_library(SpikecMetis INTERFACE)
add_library(SpikecScotch INTERFACE)
set(SPIKEC_HAVE_METIS 0)
set(SPIKEC_HAVE_SCOTCH 0)
if(METIS_INCLUDE AND METIS_LIBRARY)
  set(SPIKEC_HAVE_METIS 1)
  target_include_directories(SpikecMetis SYSTEM INTERFACE ${METIS_INCLUDE})
  target_link_libraries(SpikecMetis INTERFACE ${METIS_LIBRARY})
endif()
if(SCOTCH_INCLUDE AND SCOTCH_LIBRARY AND SCOTCHERR_LIBRARY)
  set(SPIKEC_HAVE_SCOTCH 1)
  target_include_directories(SpikecScotch SYSTEM INTERFACE ${SCOTCH_INCLUDE})
  target_link_libraries(SpikecScotch INTERFACE ${SCOTCH_LIBRARY} ${SCOTCHERR_LIBRARY})
endif()

# LLVM's C API, for native code. The headers of version SPIKEC_LLVM_VERSION are needed to build
# backends/llvm; its library is loaded at run time. find_package(LLVM) is not used: it wants all of
# LLVM, and for 19 the exact "19.1". -DSPIKEC_LLVM_VERSION=0 builds without native code.
find_path(LLVM_C_INCLUDE llvm-c/LLJIT.h
          PATHS /usr/include/llvm-c-${SPIKEC_LLVM_VERSION}
                /usr/lib/llvm-${SPIKEC_LLVM_VERSION}/include)
find_path(LLVM_CONFIG_INCLUDE llvm/Config/llvm-config.h
          PATHS /usr/include/llvm-${SPIKEC_LLVM_VERSION}
                /usr/lib/llvm-${SPIKEC_LLVM_VERSION}/include)
set(SPIKEC_HAVE_LLVM 0)
if(LLVM_C_INCLUDE AND LLVM_CONFIG_INCLUDE)
  set(SPIKEC_HAVE_LLVM 1)
else()
  message(STATUS "native code is left out: it needs LLVM's headers (package llvm-14-dev)")
endif()
