"""python -m voxshift.train PROGRAM ...; --help says more."""

import argparse
import sys
import warnings

import torch

import voxshift as vs
from voxshift.train import detect, lidar, loop, video
from voxshift.train.loop import Failure

PROGRAMS = {"lidar": lidar, "detect": detect, "video": video}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m voxshift.train", description=__doc__)
    programs = parser.add_subparsers(dest="program", required=True, metavar="PROGRAM")
    for name, module in PROGRAMS.items():
        program = programs.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(program)
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            loop.complete(options)
            warnings.showwarning = lambda message, *_: print(f"voxshift.train: warning: {message}", file=sys.stderr)
            PROGRAMS[options.program].run(options)
    except (Failure, vs.Error) as failure:
        print(f"voxshift.train: {failure}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"voxshift.train: {error}", file=sys.stderr)
        return 1
    except torch.cuda.OutOfMemoryError as error:
        line = str(error).splitlines()[0]
        print(f"voxshift.train: {line}: --batch-size, or smaller examples, or --dtype f16, take less", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("voxshift.train: interrupted; --resume goes on from the last checkpoint", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
