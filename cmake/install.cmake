# Installation: the tool, the public header, the zoo and the chip descriptions, documentation, files for
# editors. What the tool reads lies in share/spikec (frontend/share.h).
install(DIRECTORY include/spikec DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/spikec)
install(DIRECTORY backends/targets DESTINATION ${CMAKE_INSTALL_DATADIR}/spikec
        FILES_MATCHING PATTERN "*.yaml")
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} PATTERN site EXCLUDE)
install(DIRECTORY editors/vim/ DESTINATION ${CMAKE_INSTALL_DATADIR}/vim/vimfiles)
install(DIRECTORY editors/vscode DESTINATION ${CMAKE_INSTALL_DATADIR}/spikec)
include(cmake/habits.cmake)
