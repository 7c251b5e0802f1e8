# spikec_embed(FILE NAME): generated/NAME.h with the bytes of FILE as `static const unsigned char NAME[]`, made
# anew when FILE changes. For texts that the library writes out and that are better kept as files.
function(spikec_embed file name)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(................................................................................)"
         "\\1\n" bytes "${bytes}")
  get_filename_component(base ${file} NAME)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/${name}.h CONTENT
       "/* The bytes of ${base}, made by cmake/embed.cmake. */\nstatic const unsigned char ${name}[] = {\n${bytes}\n};\n")
endfunction()
