# cmake -DFILES="a;b" -DOUTPUT=templates.c -P EmbedFiles.cmake: files as arrays of bytes, in the table that
# core/cli/templates.h declares, under their names without folders.
set(arrays)
set(table)
list(LENGTH FILES count)
set(index 0)
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND arrays "static const uint8_t file_${index}[] = {\n${hex}\n};\n")
  string(APPEND table "\t{\"${name}\", file_${index}, sizeof(file_${index})},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUTPUT} "/* Written by cmake/EmbedFiles.cmake. */
#include \"cli/templates.h\"

${arrays}
const struct template_file template_files[] = {
${table}};
const size_t template_file_count = ${count};
")
