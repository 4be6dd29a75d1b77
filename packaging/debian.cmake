# Debian packages by `cpack`, of a build with VOXSHIFT_DEBS=ON and the prefix /usr (presets debs and debs-arm64):
#   libvoxshift0       the shared library                                    component runtime
#   libvoxshift-c1     the shared library with the C interface                 runtime_c
#   libvoxshift-dev    headers, CMake package, pkg-config file, archives     development
#   voxshift           the command, its trained models, manual page          command
#   voxshift-opencv    videos and pictures of the command                    command_opencv
#   voxshift-open3d    the window of `voxshift view`                         command_open3d
#   python3-voxshift   the Python package for the system's Python            python3
set(packaging ${PROJECT_SOURCE_DIR}/packaging)
set(made ${PROJECT_BINARY_DIR}/packaging)
file(MAKE_DIRECTORY ${made})

# The archive beside the shared library, of the same objects.
add_library(voxshift_archive STATIC $<TARGET_OBJECTS:voxshift>)
set_target_properties(voxshift_archive PROPERTIES OUTPUT_NAME voxshift LINKER_LANGUAGE CXX)
target_compile_features(voxshift_archive PUBLIC cxx_std_20)
target_include_directories(voxshift_archive PUBLIC ${PROJECT_BINARY_DIR}/include)
target_link_libraries(voxshift_archive PRIVATE hwy::hwy Threads::Threads)
install(TARGETS voxshift_archive ARCHIVE COMPONENT development)

# Who answers for packages is who hands them out: an address of example.org is nobody.
set(VOXSHIFT_MAINTAINER "voxshift maintainers <maintainers@example.org>" CACHE STRING "Maintainer of Debian packages")
function(voxshift_gzip source target)
  execute_process(COMMAND gzip -9nc ${source} OUTPUT_FILE ${target} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Debian's changelog: an entry of each version of ours, without a date as of now (or SOURCE_DATE_EPOCH).
function(voxshift_changelog file)
  string(TIMESTAMP now "%Y-%m-%d %H:%M:%S" UTC)
  file(WRITE ${file} "")
  file(STRINGS ${PROJECT_SOURCE_DIR}/CHANGELOG.md versions REGEX "^## \\[[0-9]")
  foreach(line IN LISTS versions)
    string(REGEX MATCH "\\[([0-9.]+)\\] - (.*)$" matched "${line}")
    set(version ${CMAKE_MATCH_1})
    set(day ${CMAKE_MATCH_2})
    if(day STREQUAL "unreleased")
      set(day ${now})
    endif()
    execute_process(COMMAND date -u -R -d ${day} OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    file(APPEND ${file} "voxshift (${version}-1) bookworm; urgency=medium\n\n  * What is new stands in changelog.gz.\n\n"
                        " -- ${VOXSHIFT_MAINTAINER}  ${date}\n\n")
  endforeach()
endfunction()
voxshift_changelog(${made}/changelog.Debian)
voxshift_gzip(${made}/changelog.Debian ${made}/changelog.Debian.gz)
voxshift_gzip(${packaging}/voxshift.1 ${made}/voxshift.1.gz)
voxshift_gzip(${PROJECT_SOURCE_DIR}/CHANGELOG.md ${made}/changelog.gz)

# Of a package: name, component, section, synopsis, and the rest of its description. Each has its copyright and changelogs.
macro(voxshift_deb name component section synopsis)
  list(APPEND CPACK_COMPONENTS_ALL ${component})
  string(TOUPPER ${component} key)
  set(CPACK_DEBIAN_${key}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${key}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${key}_DESCRIPTION "${synopsis}\n${ARGN}")
  install(FILES ${packaging}/copyright ${made}/changelog.Debian.gz ${made}/changelog.gz
          DESTINATION share/doc/${name} COMPONENT ${component})
endmacro()

set(CPACK_COMPONENTS_ALL)
set(about "voxshift runs trained networks where they are deployed:
sparse convolutions on point clouds and temporal networks on
video. It computes only where there is something (occupied
voxels) and only what changed (pixels), without PyTorch.
.
")
voxshift_deb(libvoxshift0 runtime libs "sparse 3-D and temporal networks (shared library)"
             "${about}This package has the shared library.")
voxshift_deb(libvoxshift-dev development libdevel "sparse 3-D and temporal networks (development files)"
             "${about}This package has headers, a CMake package, a pkg-config file
and static libraries.")
voxshift_deb(voxshift command science "sparse 3-D and temporal networks (command)"
             "${about}This package has the command, which labels and finds boxes in
LiDAR scans, and trained models.")
# What packages of programs that link a library depend on, and the word to dpkg that there is a new one. Before 1.0 a version
# may change the interface of C++; that of C may grow, and programs know its SONAME.
file(WRITE ${made}/triggers "activate-noawait ldconfig\n")
function(voxshift_shlibs component text)
  file(WRITE ${made}/${component}/shlibs "${text}\n")
  string(TOUPPER ${component} key)
  set(CPACK_DEBIAN_${key}_PACKAGE_CONTROL_EXTRA "${made}/${component}/shlibs;${made}/triggers" PARENT_SCOPE)
endfunction()
voxshift_shlibs(runtime "libvoxshift ${PROJECT_VERSION_MAJOR} libvoxshift0 (= ${PROJECT_VERSION}-1)")
if(TARGET voxshift_c)
  voxshift_deb(libvoxshift-c1 runtime_c libs "sparse 3-D and temporal networks (C interface)"
               "${about}This package has the shared library of the C interface.")
  voxshift_shlibs(runtime_c "libvoxshift_c 1 libvoxshift-c1 (>= ${PROJECT_VERSION}-1)")
  set(c_interface runtime_c)
  install(FILES ${PROJECT_SOURCE_DIR}/examples/segment.c ${PROJECT_SOURCE_DIR}/examples/recognize.c
          DESTINATION share/doc/libvoxshift-dev/examples COMPONENT development)
endif()
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "libhwy-dev, libzip-dev, libprotobuf-dev, libopencv-dev, pkg-config, cmake")
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS runtime ${c_interface})
set(CPACK_COMPONENT_COMMAND_DEPENDS runtime)

install(FILES ${made}/voxshift.1.gz DESTINATION share/man/man1 COMPONENT command)
install(FILES ${packaging}/voxshift.bash DESTINATION share/bash-completion/completions RENAME voxshift COMPONENT command)
install(FILES ${PROJECT_SOURCE_DIR}/tests/consumer/CMakeLists.txt ${PROJECT_SOURCE_DIR}/tests/consumer/main.cpp
              ${PROJECT_SOURCE_DIR}/tests/consumer/c_consumer.c ${PROJECT_SOURCE_DIR}/tests/consumer/convert.cpp
        DESTINATION share/doc/libvoxshift-dev/examples COMPONENT development)

# Modules of the command: whoever takes `voxshift` with what it recommends has videos.
if(TARGET voxshift_opencv)
  voxshift_deb(voxshift-opencv command_opencv science "sparse 3-D and temporal networks (videos)"
               "${about}This package has what the command needs OpenCV for: videos,
cameras and pictures with smooth letters.")
  set(CPACK_COMPONENT_COMMAND_OPENCV_DEPENDS command)
  set(CPACK_DEBIAN_COMMAND_PACKAGE_RECOMMENDS "voxshift-opencv")
endif()
if(TARGET voxshift_open3d)
  voxshift_deb(voxshift-open3d command_open3d science "sparse 3-D and temporal networks (window)"
               "${about}This package has the window of `voxshift view`, which needs
Open3D.")
  set(CPACK_COMPONENT_COMMAND_OPEN3D_DEPENDS command)
  set(CPACK_DEBIAN_COMMAND_PACKAGE_SUGGESTS "voxshift-open3d")
endif()

# Python's package for the Python of the system, which the module was built for, with the models of the command.
if(TARGET _voxshift)
  voxshift_deb(python3-voxshift python3 python "sparse 3-D and temporal networks (Python 3)"
               "${about}This package has the Python package, with layers for PyTorch
where that is installed.")
  set(folder lib/python3/dist-packages)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/python/voxshift DESTINATION ${folder} COMPONENT python3 PATTERN __pycache__ EXCLUDE)
  install(TARGETS _voxshift DESTINATION ${folder}/voxshift COMPONENT python3)
  file(CREATE_LINK ../../../../share/voxshift/models ${made}/models SYMBOLIC)
  file(CREATE_LINK ../../../${CMAKE_LIBRARY_ARCHITECTURE}/voxshift ${made}/modules SYMBOLIC)
  install(FILES ${made}/models ${made}/modules DESTINATION ${folder}/voxshift COMPONENT python3)
  configure_file(${packaging}/python_metadata.in ${made}/METADATA @ONLY)
  file(WRITE ${made}/INSTALLER "debian\n")
  install(FILES ${made}/METADATA ${made}/INSTALLER DESTINATION ${folder}/voxshift-${PROJECT_VERSION}.dist-info COMPONENT python3)
  find_package(Python 3.9 QUIET REQUIRED COMPONENTS Interpreter Development.Module)
  math(EXPR next "${Python_VERSION_MINOR} + 1")
  set(CPACK_DEBIAN_PYTHON3_PACKAGE_DEPENDS
      "python3 (>= 3.${Python_VERSION_MINOR}~), python3 (<< 3.${next}), python3-numpy")
  set(CPACK_DEBIAN_PYTHON3_PACKAGE_SUGGESTS "python3-torch, python3-tqdm, python3-matplotlib, python3-open3d")
  set(CPACK_DEBIAN_PYTHON3_PACKAGE_CONTROL_EXTRA "${packaging}/python/postinst;${packaging}/python/prerm")
  set(CPACK_COMPONENT_PYTHON3_DEPENDS runtime command)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGE_NAME voxshift)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each has its own
set(CPACK_PACKAGE_CONTACT "${VOXSHIFT_MAINTAINER}")
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
else()
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE amd64)
endif()
# dpkg-shlibdeps looks for libraries of this architecture.
file(WRITE ${made}/cpack.cmake "set(ENV{DEB_HOST_ARCH} ${CPACK_DEBIAN_PACKAGE_ARCHITECTURE})\n")
set(CPACK_PROJECT_CONFIG_FILE ${made}/cpack.cmake)
include(CPack)
