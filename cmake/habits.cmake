# Manual pages and completion scripts: the tool prints them from the tables of its --help, so that they
# cannot differ. They are made with the tool where it runs at build time and is what users get.
set(SPIKEC_HABITS ${CMAKE_BINARY_DIR}/habits)
if(TARGET spikec AND NOT CMAKE_CROSSCOMPILING AND NOT SPIKEC_SANITIZE AND NOT SPIKEC_COVERAGE)
  add_custom_command(OUTPUT ${SPIKEC_HABITS}/made
    COMMAND ${CMAKE_COMMAND} -D TOOL=$<TARGET_FILE:spikec> -D FOLDER=${SPIKEC_HABITS}
            -P ${CMAKE_SOURCE_DIR}/cmake/make_habits.cmake
    DEPENDS spikec ${CMAKE_SOURCE_DIR}/cmake/make_habits.cmake VERBATIM)
  add_custom_target(spikec_habits ALL DEPENDS ${SPIKEC_HABITS}/made)
  install(DIRECTORY ${SPIKEC_HABITS}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(FILES ${SPIKEC_HABITS}/spikec.bash RENAME spikec
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${SPIKEC_HABITS}/_spikec DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(FILES ${SPIKEC_HABITS}/spikec.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
