# Functions of voxshift's build.
include(CMakePackageConfigHelpers)

# std::stable_sort of GCC's library takes what C++17 deprecates, and clang says so.
set(voxshift_allow_deprecated $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-deprecated-declarations>)

# What the compiler makes code for: sets voxshift_cpu in the caller to x86_64, aarch64 or other. CMAKE_SYSTEM_PROCESSOR has many
# names for these, and none or this machine's in some toolchains.
function(voxshift_find_cpu)
  if(NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
    message(FATAL_ERROR "voxshift: a 64-bit target is expected, found ${CMAKE_SYSTEM_PROCESSOR} with pointers of ${CMAKE_SIZEOF_VOID_P} bytes")
  endif()
  include(CheckCXXSymbolExists)
  check_cxx_symbol_exists(__x86_64__ "" voxshift_is_x86_64)
  check_cxx_symbol_exists(__aarch64__ "" voxshift_is_aarch64)
  if(voxshift_is_x86_64 AND NOT voxshift_is_aarch64)
    set(voxshift_cpu x86_64 PARENT_SCOPE)
  elseif(voxshift_is_aarch64)
    set(voxshift_cpu aarch64 PARENT_SCOPE)
  else()
    set(voxshift_cpu other PARENT_SCOPE)
  endif()
endfunction()

# Warnings of every target of ours, sections that a linker can leave out; sanitizers where asked for.
function(voxshift_compile_options target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-ffunction-sections -fdata-sections>)
  target_compile_options(${target} PRIVATE
                         $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wno-psabi>
                         ${voxshift_allow_deprecated})
  if(VOXSHIFT_SANITIZE STREQUAL "THREAD")
    target_compile_options(${target} PUBLIC -fsanitize=thread)
    target_link_options(${target} PUBLIC -fsanitize=thread)
  elseif(VOXSHIFT_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
                                            -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined,float-cast-overflow)
  endif()
  if(VOXSHIFT_RACECHECK)  # calls that kernels_cuda/emulation/races.cpp takes, not ThreadSanitizer's library
    target_compile_options(${target} PUBLIC $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=thread>)
  endif()
endfunction()

# A shared library that shows what exports.map and exports.txt beside its CMakeLists.txt name, and leaves out what nothing
# calls; with GCC's C++ library in it where VOXSHIFT_STATIC_RUNTIME asks for that.
function(voxshift_export_only target)
  if(VOXSHIFT_STATIC_RUNTIME)
    target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
  endif()
  if(APPLE)
    target_link_options(${target} PRIVATE -Wl,-dead_strip -Wl,-exported_symbols_list,${CMAKE_CURRENT_SOURCE_DIR}/exports.txt)
  elseif(NOT WIN32)
    target_link_options(${target} PRIVATE -Wl,--gc-sections -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/exports.map)
    set_target_properties(${target} PROPERTIES LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/exports.map)
  endif()
endfunction()

# C as its standard has it, and nothing else.
function(voxshift_plain_c target)
  set_target_properties(${target} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE -Wall -Wextra -pedantic -Werror)
  if(VOXSHIFT_SANITIZE STREQUAL "ON")
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=address,undefined)
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)  # for the part of the run time that knows classes
  endif()
endfunction()

# For what computes little, all but kernels: two thirds of the time to compile.
function(voxshift_compile_quickly target)
  set(level $<IF:$<BOOL:${VOXSHIFT_SMALL}>,-Os,-O1>)
  target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:${level}>)
endfunction()

# For kernels: not the coverage that fuzz targets need. It takes half as long again to compile, calls a function at every
# comparison, and no input of a stranger is decided there.
set(voxshift_no_coverage)
if(VOXSHIFT_SANITIZE)
  set(voxshift_no_coverage "$<$<CXX_COMPILER_ID:Clang>:-fno-sanitize-coverage=inline-8bit-counters,indirect-calls,trace-cmp,pc-table,stack-depth>")
endif()

# The sources of such a target that compute, with more options: by themselves, since a precompiled header has the
# optimization of its target.
function(voxshift_optimize target options)
  set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES
                              COMPILE_OPTIONS "$<$<CONFIG:Release>:-O3>;-ffp-contract=off;${options}" SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# Sources of a target that have no options of their own, eight at a time: half the time to build all of it. What they have
# in anonymous namespaces needs different names then. -DCMAKE_UNITY_BUILD=OFF for work on single ones.
function(voxshift_compile_together target)
  if(NOT DEFINED CMAKE_UNITY_BUILD)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON)
  endif()
endfunction()

# Headers that the sources of a target read once: those of the standard library that most include, and more. A source
# names what it needs all the same: clang-tidy reads it without these.
function(voxshift_precompile_headers target)
  set(headers ${ARGN})
  foreach(header algorithm array cmath cstdint functional limits map memory optional span sstream string utility vector)
    list(APPEND headers "$<$<COMPILE_LANGUAGE:CXX>:<${header}$<ANGLE-R>>")
  endforeach()
  target_precompile_headers(${target} PRIVATE ${headers})
endfunction()

# Sets <out> in the caller to the architectures of this machine's GPUs, or to nothing where there is none. A Jetson's own
# nvidia-smi tells none; the one that CUDA 12 and 13 know is Orin.
function(voxshift_find_gpus out)
  set(capabilities)
  find_program(voxshift_nvidia_smi nvidia-smi)
  mark_as_advanced(voxshift_nvidia_smi)
  if(voxshift_nvidia_smi)
    execute_process(COMMAND ${voxshift_nvidia_smi} --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE answer ERROR_QUIET RESULT_VARIABLE status)
    if(status EQUAL 0)
      string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${answer}")
    endif()
  endif()
  if(NOT capabilities AND EXISTS /etc/nv_tegra_release)
    set(capabilities 8.7)
  endif()
  list(REMOVE_DUPLICATES capabilities)
  list(SORT capabilities COMPARE NATURAL)
  list(TRANSFORM capabilities REPLACE "\\." "")
  list(TRANSFORM capabilities APPEND -real)
  set(${out} ${capabilities} PARENT_SCOPE)
endfunction()

# What VOXSHIFT_CUDA means on this machine: sets <out> to ON, OFF or EMULATED in the caller and enables the language.
macro(voxshift_find_cuda out)
  set(${out} ${VOXSHIFT_CUDA})
  if(${out} STREQUAL "AUTO")
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      set(${out} ON)
    else()
      set(${out} OFF)
    endif()
  endif()
  if(${out} STREQUAL "EMULATED")
    if(NOT VOXSHIFT_TESTS)
      message(FATAL_ERROR "voxshift: VOXSHIFT_CUDA=EMULATED is for the tests, which are off")
    endif()
    find_package(Boost REQUIRED COMPONENTS context)
    message(STATUS "voxshift: CUDA kernels are emulated on the CPU, for tests only")
  elseif(${out})
    set(voxshift_chosen "as CMAKE_CUDA_ARCHITECTURES says")
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      voxshift_find_gpus(CMAKE_CUDA_ARCHITECTURES)
      set(voxshift_chosen "the GPU of this machine; CMAKE_CUDA_ARCHITECTURES names others")
      if(NOT CMAKE_CUDA_ARCHITECTURES)
        set(CMAKE_CUDA_ARCHITECTURES 87-real 90-real)
        set(voxshift_chosen "Jetson Orin and Hopper, as this machine has no GPU; CMAKE_CUDA_ARCHITECTURES names others")
      endif()
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    list(JOIN CMAKE_CUDA_ARCHITECTURES ", " voxshift_architectures)
    message(STATUS "voxshift: CUDA ${CMAKE_CUDA_COMPILER_VERSION} for ${voxshift_architectures} (${voxshift_chosen})")
  else()
    message(STATUS "voxshift: CUDA backend off (nvcc not found or VOXSHIFT_CUDA=OFF)")
  endif()
endmacro()

# Finds an optional package by its switch AUTO, ON or OFF and says what became of it; sets <out> in the caller.
function(voxshift_find_optional out switch what package)
  set(found FALSE)
  if(WIN32)  # what calls them speaks POSIX
    if("${${switch}}" STREQUAL "ON")
      message(FATAL_ERROR "voxshift: ${switch}=ON, but what needs ${package} is not ported to Windows")
    endif()
  elseif(NOT "${${switch}}" STREQUAL "OFF")
    find_package(${package} QUIET ${ARGN})
    set(found ${${package}_FOUND})
    if("${${switch}}" STREQUAL "ON" AND NOT found)
      message(FATAL_ERROR "voxshift: ${switch}=ON, but ${package} was not found")
    endif()
  endif()
  if(found)
    message(STATUS "voxshift: ${what} through ${package} ${${package}_VERSION}")
  else()
    message(STATUS "voxshift: ${what} off (${package} ${switch}=${${switch}})")
  endif()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# libzip by pkg-config, else by its CMake config (Debian's wants programs of another package): sets <out> to its target in the
# caller, or to nothing.
function(voxshift_find_libzip out)
  find_package(PkgConfig QUIET)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(libzip QUIET IMPORTED_TARGET GLOBAL libzip)
  endif()
  if(NOT TARGET PkgConfig::libzip)
    find_package(libzip QUIET CONFIG)
  endif()
  set(${out} PARENT_SCOPE)
  foreach(target PkgConfig::libzip libzip::zip)
    if(TARGET ${target})
      set(${out} ${target} PARENT_SCOPE)
      break()
    endif()
  endforeach()
endfunction()

# What VOXSHIFT_CONVERT means on this machine: sets <out> in the caller, and voxshift_libzip to libzip's target. What
# pkg-config finds while cross-compiling is this machine's.
macro(voxshift_find_convert out)
  set(${out} FALSE)
  if(NOT VOXSHIFT_CONVERT STREQUAL "OFF" AND NOT (VOXSHIFT_CONVERT STREQUAL "AUTO" AND CMAKE_CROSSCOMPILING))
    voxshift_find_libzip(voxshift_libzip)
    find_package(Protobuf QUIET)
    if(voxshift_libzip AND TARGET protobuf::libprotobuf-lite AND TARGET protobuf::protoc)
      set(${out} TRUE)
    elseif(VOXSHIFT_CONVERT STREQUAL "ON")
      message(FATAL_ERROR "voxshift: VOXSHIFT_CONVERT=ON, but libzip or protobuf was not found")
    endif()
  endif()
  if(${out})
    message(STATUS "voxshift: networks of other libraries through libzip ${libzip_VERSION} and protobuf ${Protobuf_VERSION}")
  else()
    message(STATUS "voxshift: networks of other libraries off (libzip or protobuf, VOXSHIFT_CONVERT=${VOXSHIFT_CONVERT})")
  endif()
endmacro()

# The library, the headers that cmake/public_headers.txt lists, a CMake package and a pkg-config file. Components: runtime
# and runtime_c are what programs load, development what they are built with, command is the program with its models,
# command_opencv and command_open3d are its modules.
function(voxshift_install)
  install(TARGETS voxshift EXPORT voxshift-targets
          RUNTIME COMPONENT runtime
          LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
          ARCHIVE COMPONENT development)
  file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/public_headers.txt public_headers)
  foreach(header IN LISTS public_headers)
    cmake_path(GET header PARENT_PATH folder)
    install(FILES ${PROJECT_SOURCE_DIR}/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/voxshift/${folder} COMPONENT development)
  endforeach()
  set(package DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/voxshift COMPONENT development)
  if(TARGET voxshift_frames)
    install(TARGETS voxshift_frames EXPORT voxshift-frames-targets ARCHIVE COMPONENT development)
    install(FILES ${PROJECT_SOURCE_DIR}/video/frame_source.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/voxshift/video COMPONENT development)
    install(EXPORT voxshift-frames-targets NAMESPACE voxshift:: ${package})
  endif()
  if(TARGET voxshift_c)
    install(TARGETS voxshift_c EXPORT voxshift-c-targets
            RUNTIME COMPONENT runtime_c
            LIBRARY COMPONENT runtime_c NAMELINK_COMPONENT development
            ARCHIVE COMPONENT development)
    install(FILES ${PROJECT_SOURCE_DIR}/c_api/c_api.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/voxshift COMPONENT development)
    install(EXPORT voxshift-c-targets NAMESPACE voxshift:: ${package})
  endif()
  if(TARGET voxshift_convert)
    install(TARGETS voxshift_convert EXPORT voxshift-convert-targets ARCHIVE COMPONENT development)
    foreach(header checkpoints/checkpoint.h checkpoints/value.h convert/convert.h convert/onnx_out.h onnx/read_onnx.h onnx/write_onnx.h)
      cmake_path(GET header PARENT_PATH folder)
      install(FILES ${PROJECT_SOURCE_DIR}/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/voxshift/${folder} COMPONENT development)
    endforeach()
    install(EXPORT voxshift-convert-targets NAMESPACE voxshift:: ${package})
  endif()
  install(EXPORT voxshift-targets NAMESPACE voxshift:: ${package})
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/voxshift-config.cmake.in
    ${PROJECT_BINARY_DIR}/voxshift-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/voxshift)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/voxshift-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/voxshift-config.cmake ${PROJECT_BINARY_DIR}/voxshift-config-version.cmake ${package})
  voxshift_install_pkg_config()
endfunction()

# What a program links beside a static library stands in Libs where there is no other one, so that `--static` is not needed.
function(voxshift_install_pkg_config)
  set(private -pthread)
  if(NOT voxshift_bundled_highway)
    string(PREPEND private "-lhwy ")
  endif()
  if(voxshift_cuda STREQUAL "ON")
    list(GET CUDAToolkit_LIBRARY_DIR 0 cuda)
    string(PREPEND private "-L${cuda} -lcudart_static -lrt -ldl ")
  endif()
  if(BUILD_SHARED_LIBS)
    set(voxshift_pc_libs)
    set(voxshift_pc_private ${private})
  else()
    set(voxshift_pc_libs " ${private}")
    set(voxshift_pc_private)
  endif()
  # Where the file lies says where the rest does; in /usr the compiler must see that its own folders are meant.
  if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(voxshift_pc_prefix /usr)
  else()
    file(RELATIVE_PATH up ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
    string(REGEX REPLACE "/$" "" up "${up}")
    set(voxshift_pc_prefix "\${pcfiledir}/${up}")
  endif()
  voxshift_pkg_config(voxshift "C++20")
  if(TARGET voxshift_c)  # it holds all it needs, and C++'s library is its own affair
    set(voxshift_pc_libs)
    set(voxshift_pc_private)
    voxshift_pkg_config(voxshift_c "C99")
  endif()
endfunction()

function(voxshift_pkg_config name language)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/voxshift.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endfunction()
