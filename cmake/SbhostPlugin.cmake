# sbhost_add_plugin(NAME SOURCES file... [LINK library...])
#
# A plugin is a module library that shows the world one symbol, its entry: hidden
# visibility keeps our own names in, the version script those of libraries that are
# linked in, and of C++ templates. It lands in <build directory>/plugins/lib<NAME>.so.
#
# One file for three places: this project's own plugins, projects that found the
# installed package with find_package(sbhost), and the copy that "sbhost plugin new"
# puts beside the header. The first two bring the target sbhost::plugin, which knows
# where sb_plugin.h lies; in the third it lies here.
set(SBHOST_PLUGIN_MAP ${CMAKE_CURRENT_LIST_DIR}/plugin.map)

if(NOT TARGET sbhost::plugin AND EXISTS ${CMAKE_CURRENT_LIST_DIR}/sb_plugin.h)
  add_library(sbhost::plugin INTERFACE IMPORTED)
  target_include_directories(sbhost::plugin INTERFACE ${CMAKE_CURRENT_LIST_DIR})
endif()

function(sbhost_add_plugin name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} MODULE ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE sbhost::plugin ${ARG_LINK})
  target_link_options(${name} PRIVATE
    -Wl,--version-script=${SBHOST_PLUGIN_MAP} -Wl,-z,relro,-z,now,-z,noexecstack)
  # The sanitizers' own symbols are the program's.
  if(NOT SBHOST_SANITIZE AND NOT "${CMAKE_C_FLAGS} ${CMAKE_CXX_FLAGS}" MATCHES "-fsanitize=")
    target_link_options(${name} PRIVATE -Wl,--no-undefined)
  endif()
  set_target_properties(${name} PROPERTIES
    PREFIX lib
    SUFFIX .so
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS ${SBHOST_PLUGIN_MAP}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
endfunction()
