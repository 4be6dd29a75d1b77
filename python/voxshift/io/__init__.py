"""Points in, labels out: scans of files and recordings of ROS, and files of labels.

Every library is imported where it is used; pip install voxshift[io] brings them all. docs/readers.md has the formats.
"""

from voxshift.io.bags import Topic
from voxshift.io.labels import write_labels
from voxshift.io.messages import read_messages, topics
from voxshift.io.points import read_points
from voxshift.io.scan import Scan

__all__ = ["Scan", "Topic", "read_messages", "read_points", "topics", "write_labels"]
