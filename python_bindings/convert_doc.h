// What convert says about itself, in builds with the converter and without.
#pragma once

namespace voxshift::python {

constexpr const char* kConvertDoc = R"(The model of a trained network's checkpoint, without PyTorch.

path: what torch.save wrote (.pth, .pt, .ckpt .., by content) or a .safetensors file. source: "auto", or whose network
it is: "spvnas", "mmdet3d", "minkowski", "fcgf", "pointcept" ... arch: of two networks with the same tensors, "minkunet"
or "spvcnn". layout: of the kernels, where their shapes leave it open: "spconv1", "spconv2.0" or "spconv2.2". classes:
names by train id; None: of the data set with so many. profile: preprocessing, as Model.new takes it; None: the
source's own. device, threads, dtype: as Model.load takes them. notes: a list that gets a line for each thing that was
recognised, mapped, left out or guessed; without it guesses are warnings (UserWarning). outputs: of ONNX networks, names of values to give in place of the file's
outputs.

ONNX: convolutional networks on images, opset 7 and later, whose values are [H, W, C] where the file has [N, C, H, W],
and sparse convolutions as NVIDIA's and Autoware's exporters write them. A node without an exact counterpart raises
OSError, which names it and its op.

Every tensor has its place in the network, is left out for a reason, or is refused. Raises ValueError for tensors that
no network of the sources has, for missing ones, other shapes and a layout that shapes do not tell; OSError for a file
that is damaged or holds no tensors; RuntimeError where the build has no converter.)";

constexpr const char* kSaveOnnxDoc = R"(Writes a model on frames as an ONNX file of opset 13 (20 with gelu).

Values are f32 [N, C, H, W], what was pooled over frames [N, C]. Preprocessing is not among the nodes: the input is what
the network takes, normalised; the profile and the names of classes are metadata, which convert takes back. With a
profile the file is for frames of its size, else of any. Raises ValueError, which names the node, for an op that ONNX has
not, as temporal_shift, and for a model that does not take frames; OSError where the file cannot be written.)";

}  // namespace voxshift::python
