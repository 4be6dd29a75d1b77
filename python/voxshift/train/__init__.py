"""Programs that train voxshift's networks: `python -m voxshift.train lidar`, `python -m voxshift.train video`."""
