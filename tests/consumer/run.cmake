# Installs the build tree BUILD to a prefix and builds, tests a program against that: cmake -D BUILD=... -P run.cmake
# COMPILER and FLAGS are the build tree's. PKG_CONFIG, where given, is that program: it must name the same compiler flags and
# libraries.
set(work ${BUILD}/consumer)
file(REMOVE_RECURSE ${work})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${work}/build -D CMAKE_BUILD_TYPE=Release
                        -D CMAKE_PREFIX_PATH=${work}/prefix -D CMAKE_CXX_COMPILER=${COMPILER}
                        "-D CMAKE_CXX_FLAGS=${FLAGS}" -D SANITIZED=${SANITIZED}
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${work}/build COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${work}/build --output-on-failure COMMAND_ERROR_IS_FATAL ANY)
if(PKG_CONFIG)
  file(GLOB_RECURSE found ${work}/prefix/voxshift.pc)
  cmake_path(GET found PARENT_PATH folder)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${folder} ${PKG_CONFIG} --cflags --libs voxshift
                  OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  separate_arguments(own_flags UNIX_COMMAND "${FLAGS}")
  execute_process(COMMAND ${COMPILER} ${own_flags} -std=c++20 ${CMAKE_CURRENT_LIST_DIR}/main.cpp ${flags} -o ${work}/by_pkg_config
                  COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${work}/by_pkg_config COMMAND_ERROR_IS_FATAL ANY)
endif()
