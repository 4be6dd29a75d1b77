# Cross-compilation by the clang that the package `ziglang` of PyPI holds, with the C library of the target:
# VOXSHIFT_ZIG names its program `zig`, VOXSHIFT_ZIG_TARGET what it compiles for: aarch64-linux-musl (static programs,
# run in QEMU), x86_64-linux-gnu.2.28 (the glibc that is needed at least), aarch64-macos, x86_64-windows-gnu ..
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES VOXSHIFT_ZIG VOXSHIFT_ZIG_TARGET)
if(NOT EXISTS "${VOXSHIFT_ZIG}" OR NOT "${VOXSHIFT_ZIG_TARGET}" MATCHES "^(aarch64|x86_64)-(linux|macos|windows)")
  message(FATAL_ERROR "zig.cmake: expected VOXSHIFT_ZIG, a program, and VOXSHIFT_ZIG_TARGET, such as aarch64-linux-musl")
endif()
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_MATCH_1})
set(voxshift_system_of_linux Linux)
set(voxshift_system_of_macos Darwin)
set(voxshift_system_of_windows Windows)
set(CMAKE_SYSTEM_NAME ${voxshift_system_of_${CMAKE_MATCH_2}})

# Programs without arguments, as CMake wants them. Zig does not know `-march=` with features of Arm; clang, below it,
# knows the features.
function(voxshift_zig_program name command)
  file(WRITE ${CMAKE_BINARY_DIR}/${name} "#!/bin/sh\n${ARGN}exec '${VOXSHIFT_ZIG}' ${command} \"$@\"\n")
  file(CHMOD ${CMAKE_BINARY_DIR}/${name} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()
set(voxshift_zig_features [=[
for argument; do
  shift
  case $argument in
    -march=armv8.2-a+fp16) set -- "$@" -Xclang -target-feature -Xclang +fullfp16 ;;
    -march=armv8.2-a+*) set -- "$@" -Xclang -target-feature -Xclang "+${argument#*+}" ;;
    *) set -- "$@" "$argument" ;;
  esac
done
]=])
voxshift_zig_program(zig-cc "cc -target ${VOXSHIFT_ZIG_TARGET}" "${voxshift_zig_features}")
voxshift_zig_program(zig-c++ "c++ -target ${VOXSHIFT_ZIG_TARGET}" "${voxshift_zig_features}")
voxshift_zig_program(zig-ar ar)
voxshift_zig_program(zig-ranlib ranlib)
set(CMAKE_C_COMPILER ${CMAKE_BINARY_DIR}/zig-cc)
set(CMAKE_CXX_COMPILER ${CMAKE_BINARY_DIR}/zig-c++)
set(CMAKE_AR ${CMAKE_BINARY_DIR}/zig-ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${CMAKE_BINARY_DIR}/zig-ranlib CACHE FILEPATH "")

# Nothing of this machine is the target's.
set(CMAKE_FIND_ROOT_PATH ${CMAKE_BINARY_DIR}/none)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
foreach(what INCLUDE LIBRARY PACKAGE)
  set(CMAKE_FIND_ROOT_PATH_MODE_${what} ONLY)
endforeach()
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static)
elseif(CMAKE_SYSTEM_NAME STREQUAL "Windows")
  set(CMAKE_CROSSCOMPILING_EMULATOR wine)
elseif(CMAKE_SYSTEM_NAME STREQUAL "Darwin")
  set(CMAKE_INSTALL_NAME_TOOL ${VOXSHIFT_ZIG} CACHE FILEPATH "")  # asked for, not run: nothing is installed
endif()
