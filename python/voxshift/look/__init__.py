"""Something to look at: pages for browsers (`Page`, `write_html`) and recordings for rerun (`Recording`, `write_rrd`)."""

from voxshift.look.frames import Frame
from voxshift.look.page import Page, write_html
from voxshift.look.rrd import Recording, write_rrd

__all__ = ["Frame", "Page", "Recording", "write_html", "write_rrd"]
