# cmake -D TOOL=… -D FOLDER=… -P make_habits.cmake: writes what `spikec manual` and `spikec completion`
# print below FOLDER.
function(print_to file)
  execute_process(COMMAND ${TOOL} ${ARGN} OUTPUT_FILE ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER}/man1)
print_to(${FOLDER}/man1/spikec.1 manual)
execute_process(COMMAND ${TOOL} completion commands OUTPUT_VARIABLE commands COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" commands "${commands}")
foreach(command ${commands})
  print_to(${FOLDER}/man1/spikec-${command}.1 manual ${command})
endforeach()
print_to(${FOLDER}/spikec.bash completion bash)
print_to(${FOLDER}/_spikec completion zsh)
print_to(${FOLDER}/spikec.fish completion fish)
file(TOUCH ${FOLDER}/made)
