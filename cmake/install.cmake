# Installation: the tool, the public header, the zoo and the chip descriptions, documentation, files for
# editors. What the tool reads lies in share/spikec (frontend/share.h).
install(DIRECTORY include/spikec DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
# The classifiers' weights of docs/experiments.md stay in the source tree.
install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/spikec
        PATTERN experiments/s*.safetensors EXCLUDE
        PATTERN experiments/tuned_*.safetensors EXCLUDE)
install(DIRECTORY backends/targets DESTINATION ${CMAKE_INSTALL_DATADIR}/spikec
        FILES_MATCHING PATTERN "*.yaml")
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} PATTERN site EXCLUDE)
install(DIRECTORY editors/vim/ DESTINATION ${CMAKE_INSTALL_DATADIR}/vim/vimfiles)
install(DIRECTORY editors/vscode DESTINATION ${CMAKE_INSTALL_DATADIR}/spikec)
install(DIRECTORY examples/library DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
# Where Debian's python3 looks below /usr; below another prefix it is named in PYTHONPATH.
install(DIRECTORY python/spikec DESTINATION lib/python3/dist-packages FILES_MATCHING PATTERN "*.py"
        PATTERN "py.typed" PATTERN "__pycache__" EXCLUDE)
include(cmake/habits.cmake)
