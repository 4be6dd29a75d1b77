"""spconv.constants: settings of its build that model code reads or sets. None changes what is computed here."""

SAVED_WEIGHT_LAYOUT = ""
ALL_WEIGHT_IS_KRSC = True
FILTER_HWIO = False
DISABLE_JIT = False
SPCONV_USE_DIRECT_TABLE = True
SPCONV_ALLOW_TF32 = False
SPCONV_FX_TRACE_MODE = False
SPCONV_DO_SORT = True
SPCONV_DEBUG_WEIGHT = False
SPCONV_INT8_DEBUG = False
