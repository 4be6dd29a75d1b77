"""torchsparse.tune, which has nothing to choose here."""


def tune(*args, **kwargs) -> None:
    """Does nothing: the library's kernels need no tuning."""
