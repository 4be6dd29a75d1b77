// The table of sources.
#include <voxshift/convert/source.h>

namespace voxshift {

std::span<const Source> sources() {
  static const Source all[]{spvnas_source(),
                            torchsparse_source(),
                            mmdet3d_unet_source(KernelLayout::kTorchsparse),
                            mmdet3d_unet_source(KernelLayout::kMinkowski),
                            mmdet3d_unet_source(KernelLayout::kSpconv22),
                            mmdet3d_cylinder3d_source(),
                            mmdet3d_detector_source(),
                            cylinder3d_source(),
                            minkowski_unet_source(),
                            fcgf_source(),
                            pointcept_source(),
                            openpcdet_source(),
                            mmaction2_source(),
                            tsm_source(),
                            pvcnn_source(),
                            pointnet_source(),
                            learning3d_source(),
                            cifar_resnet_source(),
                            face_detector_source()};
  return all;
}

}  // namespace voxshift
