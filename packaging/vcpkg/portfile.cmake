# Untried: no vcpkg was at hand. It builds the clone that it lies in; in a registry of ports vcpkg_from_github() fetches the
# release in its place.
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH SOURCE_PATH)
cmake_path(GET SOURCE_PATH PARENT_PATH SOURCE_PATH)

# There is no port of LZF whose sources become part of a library.
vcpkg_download_distfile(LZF URLS http://dist.schmorp.de/liblzf/liblzf-3.6.tar.gz FILENAME liblzf-3.6.tar.gz
  SHA512 701f70245a11e7cf3412b14ed26bf7b1464512d5b0cf3f913e70ebfdfe20574b8ebbae5a78f4b56ac0034d54830380309cac3057ca00a8028edbde3d091141f5)
vcpkg_extract_source_archive(LZF_SOURCE ARCHIVE ${LZF})

vcpkg_check_features(OUT_FEATURE_OPTIONS features FEATURES
  c VOXSHIFT_C_API
  command VOXSHIFT_APPS
  convert VOXSHIFT_CONVERT)
vcpkg_cmake_configure(SOURCE_PATH ${SOURCE_PATH} OPTIONS ${features}
  -DFETCHCONTENT_SOURCE_DIR_LIBLZF=${LZF_SOURCE}
  -DVOXSHIFT_BUNDLED=AUTO
  -DVOXSHIFT_CUDA=OFF
  -DVOXSHIFT_OPEN3D=OFF
  -DVOXSHIFT_OPENCV=OFF
  -DVOXSHIFT_PYTHON=OFF
  -DVOXSHIFT_TESTS=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/voxshift)
vcpkg_fixup_pkgconfig()
if("command" IN_LIST FEATURES)
  vcpkg_copy_tools(TOOL_NAMES voxshift AUTO_CLEAN)
endif()
file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/debug/include ${CURRENT_PACKAGES_DIR}/debug/share)
vcpkg_install_copyright(FILE_LIST ${SOURCE_PATH}/LICENSE ${SOURCE_PATH}/packaging/licenses/liblzf.txt)
