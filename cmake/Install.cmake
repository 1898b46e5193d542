# What "cmake --install" puts where, and the Debian packages that cpack makes of it.
#
#   component runtime      bin/sbhost, <libdir>/sbhost/plugins/*.so, man page of the program
#   component development  sb_plugin.h, sb_plugin.hpp, sbhost.pc, the CMake package, man page of the header
#
# Nothing that is installed knows its prefix: the program finds the plugins, pkg-config and CMake the header, each
# by its own place. So a prefix may be moved, and "cmake --install build --prefix ANY" is right.
include(CMakePackageConfigHelpers)

set(SBHOST_INSTALL_PLUGINDIR ${CMAKE_INSTALL_LIBDIR}/sbhost/plugins)
set(SBHOST_INSTALL_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/sbhost)
file(RELATIVE_PATH bin_to_plugins /${CMAKE_INSTALL_BINDIR} /${SBHOST_INSTALL_PLUGINDIR})
set_source_files_properties(${PROJECT_SOURCE_DIR}/core/cli/output.c TARGET_DIRECTORY sbhost_cli
  PROPERTIES COMPILE_DEFINITIONS SBHOST_BIN_TO_PLUGINS="${bin_to_plugins}")
file(RELATIVE_PATH SBHOST_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" SBHOST_PC_TO_PREFIX "${SBHOST_PC_TO_PREFIX}")

file(STRINGS ${PROJECT_SOURCE_DIR}/include/sb_plugin.h abi_lines REGEX "#define SB_ABI_M(AJOR|INOR) ")
string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]+([0-9]+).*" "\\1.\\2" SBHOST_ABI "${abi_lines}")

# --- runtime ---------------------------------------------------------------------

install(TARGETS sbhost RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(TARGETS ${SBHOST_PLUGINS} LIBRARY DESTINATION ${SBHOST_INSTALL_PLUGINDIR} COMPONENT runtime)

# By name, because units live in one place whatever the libraries' directory is.
install(FILES packaging/sbhost@.service DESTINATION lib/systemd/system COMPONENT runtime)

# --- development -----------------------------------------------------------------

install(FILES include/sb_plugin.h include/sb_plugin.hpp
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)

configure_file(cmake/sbhost.pc.in ${PROJECT_BINARY_DIR}/package/sbhost.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/sbhost.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

configure_package_config_file(cmake/sbhostConfig.cmake.in ${PROJECT_BINARY_DIR}/package/sbhostConfig.cmake
  INSTALL_DESTINATION ${SBHOST_INSTALL_CMAKEDIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/sbhostConfigVersion.cmake
  COMPATIBILITY SameMajorVersion)
install(TARGETS sbhost_plugin_interface EXPORT sbhost)
install(EXPORT sbhost FILE sbhostTargets.cmake NAMESPACE sbhost::
  DESTINATION ${SBHOST_INSTALL_CMAKEDIR} COMPONENT development)
install(FILES
  ${PROJECT_BINARY_DIR}/package/sbhostConfig.cmake ${PROJECT_BINARY_DIR}/package/sbhostConfigVersion.cmake
  cmake/SbhostPlugin.cmake cmake/plugin.map
  DESTINATION ${SBHOST_INSTALL_CMAKEDIR} COMPONENT development)

# --- documentation: compressed as distributions want it ---------------------------

find_program(GZIP_PROGRAM gzip REQUIRED)
mark_as_advanced(GZIP_PROGRAM)
set(compressed)

# install_compressed(FILE NAME DESTINATION COMPONENT)
function(install_compressed file name destination component)
  set(packed ${PROJECT_BINARY_DIR}/package/${component}/${name}.gz)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/package/${component})
  add_custom_command(OUTPUT ${packed} DEPENDS ${PROJECT_SOURCE_DIR}/${file} VERBATIM
    COMMAND ${GZIP_PROGRAM} -9nc ${PROJECT_SOURCE_DIR}/${file} > ${packed})
  install(FILES ${packed} DESTINATION ${destination} COMPONENT ${component})
  set(compressed ${compressed} ${packed} PARENT_SCOPE)
endfunction()

set(docs ${CMAKE_INSTALL_DATAROOTDIR}/doc)
install_compressed(docs/man/sbhost.1 sbhost.1 ${CMAKE_INSTALL_MANDIR}/man1 runtime)
install_compressed(docs/man/sbhost-plugin.3 sbhost-plugin.3 ${CMAKE_INSTALL_MANDIR}/man3 development)
install_compressed(packaging/changelog changelog ${docs}/sbhost runtime)
install_compressed(packaging/changelog changelog ${docs}/sbhost-dev development)
install(FILES LICENSE DESTINATION ${docs}/sbhost COMPONENT licence) # Debian has it already, once for all
install(FILES packaging/copyright DESTINATION ${docs}/sbhost COMPONENT runtime)
install(FILES packaging/copyright DESTINATION ${docs}/sbhost-dev COMPONENT development)
add_custom_target(documentation ALL DEPENDS ${compressed})

# --- packages --------------------------------------------------------------------

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sbhost)
set(CPACK_PACKAGE_CONTACT "sbhost maintainers <maintainers@users.noreply.r-seed-3c37a2a2.example>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME sbhost)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "native host for stateful stream processing
Reads events, calls an operator in batches, and keeps the operator's keyed
state in a state backend. Takes checkpoints of input positions and state,
and goes on from the newest valid one after a crash: state and output are
exactly-once. Backends (in memory, RocksDB) and operators are plugins behind
one C ABI.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME sbhost-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "sbhost (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "header and build files for plugins of sbhost
What state backends and operators for sbhost are built against: the C header
with the whole ABI, a guard for C++, a pkg-config file and a CMake package.")

include(CPack)
