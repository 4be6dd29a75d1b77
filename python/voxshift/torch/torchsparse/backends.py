"""torchsparse.backends: settings of its CUDA kernels, which change nothing here."""

benchmark = False
allow_tf32 = False
allow_fp16 = False
hash_rsv_ratio = 2
