# What the library and the command are built from besides the compiler: a package of the system, else its pinned source,
# which becomes part of them. VOXSHIFT_BUNDLED=ON takes the sources in any case (wheels, phones, static programs: what they
# run on has none of these packages), OFF never does. FETCHCONTENT_SOURCE_DIR_<NAME> names a folder that holds a source, with
# NAME one of HIGHWAY, NLOHMANN_JSON, LIBLZF, CLI11, STB; nothing is downloaded then.
include(FetchContent)

# Sets <name>_source in the caller: a folder, its own CMake files unused.
function(voxshift_fetch name url sha256)
  if(VOXSHIFT_BUNDLED STREQUAL "OFF")
    message(FATAL_ERROR "voxshift: ${name} was not found, and VOXSHIFT_BUNDLED=OFF: install its package")
  endif()
  if(POLICY CMP0135)
    cmake_policy(SET CMP0135 NEW)
  endif()
  FetchContent_Declare(${name} URL ${url} URL_HASH SHA256=${sha256} SOURCE_SUBDIR none)
  FetchContent_MakeAvailable(${name})
  message(STATUS "voxshift: ${name} built in")
  set(${name}_source ${${name}_SOURCE_DIR} PARENT_SCOPE)
endfunction()

# An interface target of headers, and of sources for its one user.
function(voxshift_bundled target include)
  string(REPLACE "::" "_" plain bundled_${target})
  add_library(${plain} INTERFACE)
  target_include_directories(${plain} SYSTEM INTERFACE ${include})
  target_sources(${plain} INTERFACE ${ARGN})
  add_library(${target} ALIAS ${plain})
endfunction()

macro(voxshift_find_quietly)
  if(NOT VOXSHIFT_BUNDLED STREQUAL "ON")
    find_package(${ARGN} QUIET)
  endif()
endmacro()

# Highway by its CMake config, else by pkg-config (Ubuntu 22.04 ships none): target hwy::hwy. Sets voxshift_bundled_highway
# in the caller where it is built in.
function(voxshift_find_highway)
  voxshift_find_quietly(hwy CONFIG)
  if(NOT TARGET hwy::hwy AND NOT VOXSHIFT_BUNDLED STREQUAL "ON" AND NOT CMAKE_CROSSCOMPILING)  # what it finds is this machine's
    find_package(PkgConfig QUIET)
    if(PKG_CONFIG_FOUND)
      pkg_check_modules(libhwy QUIET IMPORTED_TARGET GLOBAL libhwy)
    endif()
    if(TARGET PkgConfig::libhwy)
      add_library(hwy::hwy ALIAS PkgConfig::libhwy)
    endif()
  endif()
  if(NOT TARGET hwy::hwy)
    voxshift_fetch(highway https://github.com/google/highway/archive/refs/tags/1.0.3.tar.gz
                   566fc77315878473d9a6bd815f7de78c73734acdcb745c3dde8579560ac5440e)
    voxshift_bundled(hwy::hwy ${highway_source} ${highway_source}/hwy/targets.cc ${highway_source}/hwy/per_target.cc)
    set(voxshift_bundled_highway TRUE PARENT_SCOPE)
  endif()
endfunction()

# LZF as its two sources: target liblzf::embed.
function(voxshift_find_lzf)
  voxshift_find_quietly(liblzf CONFIG)
  if(NOT TARGET liblzf::embed)
    voxshift_fetch(liblzf http://dist.schmorp.de/liblzf/liblzf-3.6.tar.gz
                   9c5de01f7b9ccae40c3f619d26a7abec9986c06c36d260c179cedd04b89fb46a)
    voxshift_bundled(liblzf::embed ${liblzf_source} ${liblzf_source}/lzf_c.c ${liblzf_source}/lzf_d.c)
    if(MINGW)  # its integer of 64 bits on Windows is spelt as one other compiler has it
      set_source_files_properties(${liblzf_source}/lzf_c.c PROPERTIES COMPILE_DEFINITIONS "_int64=long long")
    endif()
  endif()
endfunction()

# Targets nlohmann_json::nlohmann_json and CLI11::CLI11: headers.
function(voxshift_find_json)
  voxshift_find_quietly(nlohmann_json 3.7)
  if(NOT TARGET nlohmann_json::nlohmann_json)
    voxshift_fetch(nlohmann_json https://github.com/nlohmann/json/archive/refs/tags/v3.11.2.tar.gz
                   d69f9deb6a75e2580465c6c4c5111b89c4dc2fa94e3a85fcd2ffcd9a143d9273)
    voxshift_bundled(nlohmann_json::nlohmann_json ${nlohmann_json_source}/include)
  endif()
endfunction()

# Target stb::stb: headers of single functions, as <stb_image_write.h>.
function(voxshift_find_stb)
  if(NOT VOXSHIFT_BUNDLED STREQUAL "ON")
    find_path(voxshift_stb_include stb_image_write.h PATH_SUFFIXES stb)
  endif()
  if(NOT voxshift_stb_include)
    voxshift_fetch(stb https://github.com/nothings/stb/archive/8b5f1f37b5b75829fc72d38e7b5d4bcbf8a26d55.tar.gz
                   c47cf5abe21e1d620afccd159c23fe71dfa86eb270015a7646a4f79e9bfd5503)
    set(voxshift_stb_include ${stb_source})
  endif()
  voxshift_bundled(stb::stb ${voxshift_stb_include})
endfunction()

function(voxshift_find_cli11)
  voxshift_find_quietly(CLI11)
  if(NOT TARGET CLI11::CLI11)
    voxshift_fetch(cli11 https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.1.2.tar.gz
                   26291377e892ba0e5b4972cdfd4a2ab3bf53af8dac1f4ea8fe0d1376b625c8cb)
    voxshift_bundled(CLI11::CLI11 ${cli11_source}/include)
  endif()
endfunction()
