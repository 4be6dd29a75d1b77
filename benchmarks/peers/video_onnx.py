"""MobileNetV2 and ResNet50 as ONNX graphs with the weights of a voxshift model file, without the temporal shift.

Batch norm is folded into the convolutions, which is every engine's best case.
"""

import numpy as np
from model_file import read_tensors

from onnx import TensorProto, helper, numpy_helper

EPS = 1e-5
# MobileNetV2: blocks and stride of the first block of every stage; widths are those of the tensors.
STAGES = [(1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)]
# ResNet50: the same, of bottlenecks.
LAYERS = [(3, 1), (4, 2), (6, 2), (3, 2)]


class Builder:
    """Adds nodes one after the other; `last` is the value of the newest one."""

    def __init__(self, tensors):
        self.tensors, self.nodes, self.initializers, self.last = tensors, [], {}, "image"

    def add(self, op, *inputs, **attributes):
        self.last = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [self.last], **attributes))
        return self.last

    def initializer(self, name, value):
        self.initializers[name] = numpy_helper.from_array(np.asarray(value, np.float32), name)
        return name

    def conv(self, name, norm, stride=1, groups=1, activation=None):
        """Convolution of the last value with batch norm, padded by half its kernel."""
        t = self.tensors
        scale = t[norm + ".weight"] / np.sqrt(t[norm + ".running_var"] + EPS)
        weight = t[name + ".weight"] * scale[:, None, None, None]
        bias = t[norm + ".bias"] - t[norm + ".running_mean"] * scale
        size = weight.shape[2]
        self.add("Conv", self.last, self.initializer(name + ".weight", weight), self.initializer(name + ".bias", bias),
                 kernel_shape=[size, size], strides=[stride] * 2, pads=[size // 2] * 4, group=groups)
        if activation == "relu6":
            self.add("Clip", self.last, self.initializer("zero", 0), self.initializer("six", 6))
        elif activation == "relu":
            self.add("Relu", self.last)
        return self.last

    def depthwise(self, name, norm, stride):
        return self.conv(name, norm, stride, self.tensors[name + ".weight"].shape[0], "relu6")

    def head(self, name):
        self.add("GlobalAveragePool", self.last)
        self.add("Flatten", self.last)
        t = self.tensors
        self.add("Gemm", self.last, self.initializer(name + ".weight", t[name + ".weight"]),
                 self.initializer(name + ".bias", t[name + ".bias"]), transB=1)
        self.classes = len(t[name + ".bias"])

    def serialized(self, name, height, width):
        graph = helper.make_graph(
            self.nodes, name, [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, [1, self.classes])],
            list(self.initializers.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        return model.SerializeToString()


def mobilenet_v2(net):
    net.conv("features.0.0", "features.0.1", 2, activation="relu6")
    index = 0
    for blocks, first_stride in STAGES:
        for block in range(blocks):
            index += 1
            name, skip, stride = f"features.{index}.conv", net.last, 1 if block else first_stride
            if index == 1:  # without expansion
                net.depthwise(f"{name}.0", f"{name}.1", stride)
                net.conv(f"{name}.3", f"{name}.4")
            else:
                net.conv(f"{name}.0", f"{name}.1", activation="relu6")
                net.depthwise(f"{name}.3", f"{name}.4", stride)
                net.conv(f"{name}.6", f"{name}.7")
            if block:
                net.add("Add", skip, net.last)
    net.conv("features.18.0", "features.18.1", activation="relu6")
    net.head("classifier")


def resnet50(net):
    net.conv("conv1", "bn1", 2, activation="relu")
    net.add("MaxPool", net.last, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for layer, (blocks, first_stride) in enumerate(LAYERS, 1):
        for block in range(blocks):
            name, x, stride = f"layer{layer}.{block}", net.last, 1 if block else first_stride
            net.conv(f"{name}.conv1", f"{name}.bn1", activation="relu")
            net.conv(f"{name}.conv2", f"{name}.bn2", stride, activation="relu")
            y = net.conv(f"{name}.conv3", f"{name}.bn3")
            if block == 0:
                net.last = x
                x = net.conv(f"{name}.downsample.0", f"{name}.downsample.1", stride)
            net.add("Add", x, y)
            net.add("Relu", net.last)
    net.head("new_fc")


def onnx_model(path, height, width):
    """Serialised ONNX model of a model file made by `voxshift new tsm-mobilenetv2` or `tsm-resnet50`."""
    net = Builder(read_tensors(path))
    build = mobilenet_v2 if "features.0.0.weight" in net.tensors else resnet50
    build(net)
    return net.serialized(build.__name__, height, width)
