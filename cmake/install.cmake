# Installation: the tool, the public header, the zoo and the chip descriptions.
if(EXISTS ${CMAKE_SOURCE_DIR}/include/spikec)
  install(DIRECTORY include/spikec DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          FILES_MATCHING PATTERN "*.h")
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/models)
  install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/spikec)
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/backends/targets)
  install(DIRECTORY backends/targets DESTINATION ${CMAKE_INSTALL_DATADIR}/spikec
          FILES_MATCHING PATTERN "*.yaml")
endif()
