"""Many scans: a labeller for Ray Data, and the program `python -m voxshift.batch`, which labels a data lake.

Needs pyarrow, and Ray where it is to run on a cluster: pip install voxshift[ray]. docs/cluster.md has it on one page.
"""

from voxshift.batch.labeller import Labeller

__all__ = ["Labeller"]
