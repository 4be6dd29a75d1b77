# Writes <source>, a C++ file that holds the bytes of files: the assembler reads them, which takes no time and no memory of a
# compiler.
function(voxshift_builtin_models source)
  set(text "#include \"builtin_models.h\"\n\n#include <array>\n\n")
  string(APPEND text "#if defined(__APPLE__)\n#define SECTION \".section __TEXT,__const\\n\"\n"
                     "#elif defined(_WIN32)\n#define SECTION \".section .rdata,\\\"dr\\\"\\n\"\n"
                     "#else\n#define SECTION \".section .rodata\\n\"\n#endif\n\n")
  set(entries "")
  set(number 0)
  foreach(file IN LISTS ARGN)
    cmake_path(GET file STEM name)
    set(symbol voxshift_bench_model_${number})
    string(APPEND text "asm(SECTION \".balign 64\\n${symbol}:\\n.incbin \\\"${file}\\\"\\n${symbol}_end:\\n.byte 0\\n.text\\n\");\n"
                       "extern const std::byte ${symbol}[] asm(\"${symbol}\");\n"
                       "extern const std::byte ${symbol}_end[] asm(\"${symbol}_end\");\n\n")
    string(APPEND entries "      BuiltinModel{\"${name}\", {${symbol}, ${symbol}_end}},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  string(APPEND text "namespace voxshift::bench {\n\nstd::span<const BuiltinModel> builtin_models() {\n"
                     "  static const std::array<BuiltinModel, ${number}> models{\n${entries}  };\n  return models;\n}\n\n"
                     "}  // namespace voxshift::bench\n")
  file(GENERATE OUTPUT ${source} CONTENT "${text}")
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${ARGN}" SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
