# The parts of the page that `spikec report` writes, and D3 (Debian's node-d3), which draws it.
# Without D3 everything is built all the same; `report` then says what is missing.
set(SPIKEC_REPORT_PAGE ${CMAKE_SOURCE_DIR}/backends/report/page)
foreach(part base floorplan graph charts activity probes tables main)
  spikec_embed(${SPIKEC_REPORT_PAGE}/${part}.js report_${part}_js)
endforeach()
spikec_embed(${SPIKEC_REPORT_PAGE}/explore.js report_explore_js)
spikec_embed(${SPIKEC_REPORT_PAGE}/explore.html report_explore_html_part)
spikec_embed(${SPIKEC_REPORT_PAGE}/page.css report_css)
spikec_embed(${SPIKEC_REPORT_PAGE}/page.html report_page_html)
spikec_embed(${SPIKEC_REPORT_PAGE}/d3_licence.txt report_d3_licence)

find_file(SPIKEC_D3 d3.min.js PATHS /usr/share/nodejs/d3/dist NO_DEFAULT_PATH
          DOC "d3.min.js, version 5")
if(SPIKEC_D3)
  file(STRINGS ${SPIKEC_D3} first LIMIT_COUNT 1)
  if(NOT first MATCHES "d3js.org v5\\.")
    message(WARNING "${SPIKEC_D3} is not D3 version 5: spikec report is left out")
    set(SPIKEC_D3 "")
  endif()
endif()
if(SPIKEC_D3)
  spikec_embed(${SPIKEC_D3} report_d3_js)
else()
  message(WARNING "D3 is not installed (Debian: node-d3): spikec report is left out")
  file(WRITE ${CMAKE_BINARY_DIR}/generated/report_d3_js.h
       "static const unsigned char report_d3_js[] = {0};\n")
endif()
