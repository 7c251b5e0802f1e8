# Writes HEADER with the commit of SOURCE, "unknown" where that is not the top of a git checkout; an
# equal header keeps its time.
set(commit unknown)
execute_process(COMMAND git -C ${SOURCE} rev-parse --show-toplevel OUTPUT_VARIABLE top
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
get_filename_component(source ${SOURCE} REALPATH)
if(NOT failed AND top STREQUAL source)
  execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --match=
                  OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
                  RESULT_VARIABLE failed)
  if(NOT failed)
    string(REPLACE "-dirty" ", changed" commit "${found}")
  endif()
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT
     "/* Made by cmake/commit.cmake. */\n#define SPIKEC_COMMIT \"${commit}\"\n")
