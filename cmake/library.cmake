# libspikec.so: all rooms as one shared library that exports what the public headers declare, and
# nothing else. While the major version is 0, every minor version has a SONAME of its own.
set(SPIKEC_PUBLIC_HEADERS ${CMAKE_SOURCE_DIR}/include/spikec/spikec.h
                          ${CMAKE_SOURCE_DIR}/include/spikec/objects.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${SPIKEC_PUBLIC_HEADERS})

# Every declaration begins a line, comments never do: the names before the first parenthesis.
set(SPIKEC_EXPORTS)
foreach(header ${SPIKEC_PUBLIC_HEADERS})
  file(STRINGS ${header} lines REGEX "^[a-z].*[ *]spk_[a-z0-9_]+\\(")
  foreach(line ${lines})
    string(REGEX REPLACE "^[^(]*[ *](spk_[a-z0-9_]+)\\(.*" "\\1" name "${line}")
    string(APPEND SPIKEC_EXPORTS "    ${name};\n")
  endforeach()
endforeach()
file(CONFIGURE OUTPUT ${SPIKEC_GENERATED_DIR}/spikec.map @ONLY
     CONTENT "{\n  global:\n@SPIKEC_EXPORTS@  local:\n    *;\n};\n")

add_library(spikec_shared SHARED $<TARGET_OBJECTS:spikec_api>)
set_target_properties(spikec_shared PROPERTIES LINKER_LANGUAGE C)
set_target_properties(spikec_shared PROPERTIES
  OUTPUT_NAME spikec VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} EXPORT_NAME spikec
  LINK_DEPENDS ${SPIKEC_GENERATED_DIR}/spikec.map)
target_link_libraries(spikec_shared PRIVATE spikec_api)
target_link_options(spikec_shared PRIVATE
  -Wl,--version-script=${SPIKEC_GENERATED_DIR}/spikec.map)
if(NOT SPIKEC_SANITIZE)
  target_link_options(spikec_shared PRIVATE -Wl,-z,defs)
endif()
target_include_directories(spikec_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(TARGETS spikec_shared EXPORT spikec LIBRARY)
install(EXPORT spikec NAMESPACE spikec:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/spikec
        FILE spikec-targets.cmake)
include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/spikec-config.cmake.in
  ${SPIKEC_GENERATED_DIR}/spikec-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/spikec)
write_basic_package_version_file(${SPIKEC_GENERATED_DIR}/spikec-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${SPIKEC_GENERATED_DIR}/spikec-config.cmake
              ${SPIKEC_GENERATED_DIR}/spikec-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/spikec)

# An installed tree may be moved, so spikec.pc finds its prefix from its own place.
file(RELATIVE_PATH SPIKEC_PC_PREFIX
     ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/spikec.pc.in ${SPIKEC_GENERATED_DIR}/spikec.pc @ONLY)
install(FILES ${SPIKEC_GENERATED_DIR}/spikec.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
