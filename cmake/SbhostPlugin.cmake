# sbhost_add_plugin(NAME SOURCES file... [LINK library...])
#
# A plugin is a module library that shows the world one symbol, its entry: hidden
# visibility keeps our own names in, the version script those of libraries that are
# linked in. It lands in build/plugins/lib<NAME>.so.
set(SBHOST_PLUGIN_MAP ${CMAKE_CURRENT_LIST_DIR}/plugin.map)

function(sbhost_add_plugin name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} MODULE ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  target_link_options(${name} PRIVATE
    -Wl,--version-script=${SBHOST_PLUGIN_MAP} -Wl,-z,relro,-z,now,-z,noexecstack)
  if(NOT SBHOST_SANITIZE)
    target_link_options(${name} PRIVATE -Wl,--no-undefined)
  endif()
  set_target_properties(${name} PROPERTIES
    C_VISIBILITY_PRESET hidden
    LINK_DEPENDS ${SBHOST_PLUGIN_MAP}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
endfunction()
