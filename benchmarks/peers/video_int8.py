"""The int8 form of an ONNX network, which ONNX Runtime and OpenVINO both run: onnxruntime.quantization's own.

Static, in QDQ form, weights s8 and symmetric per output channel, activations u8 with a zero point. Activations that are
symmetric s8, too, would take both engines longer: ReLU6 then is no part of a convolution.
"""

import tempfile
from pathlib import Path

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Images(CalibrationDataReader):
    def __init__(self, images):
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"image": image}


def int8_model(model, images):
    """Serialised: that of a serialised one, its ranges the least and most of values [1, 3, H, W] `images` give."""
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantized = (str(Path(folder) / name) for name in ("plain", "prepared", "quantized"))
        Path(plain).write_bytes(model)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, quantized, Images(images), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        return Path(quantized).read_bytes()
