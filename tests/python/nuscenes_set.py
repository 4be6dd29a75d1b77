"""A small made-up set in nuScenes' schema (nuscenes.org/nuscenes#data-format, and schema_nuscenes.md of its devkit)."""

import json
import math

import numpy as np

CATEGORIES = [
    "noise", "animal", "human.pedestrian.adult", "human.pedestrian.child", "human.pedestrian.construction_worker",
    "human.pedestrian.personal_mobility", "human.pedestrian.police_officer", "human.pedestrian.stroller",
    "human.pedestrian.wheelchair", "movable_object.barrier", "movable_object.debris", "movable_object.pushable_pullable",
    "movable_object.trafficcone", "static_object.bicycle_rack", "vehicle.bicycle", "vehicle.bus.bendy", "vehicle.bus.rigid",
    "vehicle.car", "vehicle.construction", "vehicle.emergency.ambulance", "vehicle.emergency.police", "vehicle.motorcycle",
    "vehicle.trailer", "vehicle.truck", "flat.driveable_surface", "flat.other", "flat.sidewalk", "flat.terrain",
    "static.manmade", "static.other", "static.vegetation", "vehicle.ego",
]  # by the index of lidarseg
SWEEPS = 5  # of a sample
POINTS = 400
CHANNELS = {"LIDAR_TOP": "lidar", "CAM_FRONT": "camera", "CAM_BACK": "camera", "RADAR_FRONT": "radar"}
APART = (500000, 1200000, 1700000)  # microseconds between the samples of a scene; beyond 1.5 s, or 3, there is no velocity
START = 1531883530449377  # microseconds, as nuScenes' are


def quaternion(random, tilt):
    """w, x, y, z of a turn about z and a little about the others."""
    q = np.array([math.cos(random.uniform(-1.5, 1.5)), *random.normal(0, tilt, 2), random.uniform(-1, 1)])
    return (q / np.linalg.norm(q)).tolist()


class MadeUp:
    """Tables of `scenes`, each of three samples with their sweeps; write() makes the files."""

    def __init__(self, random, scenes):
        self.random = random
        self.files = {}  # name -> array
        self.t = {name: [] for name in ("category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor",
                                        "ego_pose", "log", "scene", "sample", "sample_data", "sample_annotation", "map",
                                        "lidarseg")}  # fmt: skip
        self.add("log", logfile="n1", vehicle="n1", date_captured="2018-07-18", location="here")
        self.add("map", log_tokens=["log0"], category="semantic_prior", filename="maps/m.png")
        self.files["maps/m.png"] = np.zeros(0, np.uint8)
        for i, name in enumerate(CATEGORIES):
            self.add("category", name=name, description="", index=i)
        for channel, modality in CHANNELS.items():
            self.add("sensor", channel=channel, modality=modality)
            camera = [[1200.0, 0, 800], [0, 1200, 450], [0, 0, 1]] if modality == "camera" else []
            self.add("calibrated_sensor", sensor_token=self.last("sensor"), translation=random.uniform(-2, 2, 3).tolist(),
                     rotation=quaternion(random, 0.02 if modality == "lidar" else 0.7), camera_intrinsic=camera)
        for i, name in enumerate(scenes):
            self.scene(name, START + i * 10**8, APART[i % 3])

    def add(self, table, **row):
        token = f"{table}{len(self.t[table])}"
        self.t[table].append({"token": token, **row})
        return self.t[table][-1]

    def last(self, table):
        return self.t[table][-1]["token"]

    def linked(self, rows):
        for a, b in zip([None, *rows], [*rows, None]):
            if a is not None:
                a["next"] = b["token"] if b is not None else ""
            if b is not None:
                b["prev"] = a["token"] if a is not None else ""

    def scene(self, name, start, apart):
        random, samples = self.random, []
        place, rows = random.uniform(300, 2000, 3) * [1, 1, 0], {channel: [] for channel in CHANNELS}
        scene = self.add("scene", log_token="log0", name=name, description="", nbr_samples=3)
        for i in range(3):
            sample = self.add("sample", timestamp=start + apart * i, scene_token=scene["token"])
            samples.append(sample)
            for k in range(SWEEPS):
                if i == 0 and k < 3:
                    continue  # the first sample has fewer sweeps before it
                time = sample["timestamp"] - 100000 * (SWEEPS - 1 - k) + int(random.integers(-900, 900))
                for channel in CHANNELS:
                    if channel == "LIDAR_TOP" or k == SWEEPS - 1:
                        rows[channel].append(self.data(sample, channel, time, place, k == SWEEPS - 1))
                place = place + random.uniform(0, 1.5, 3) * [1, 1, 0.05]
        for chain in (samples, *rows.values()):
            self.linked(chain)
        scene.update(first_sample_token=samples[0]["token"], last_sample_token=samples[-1]["token"])
        for category, seen in (("vehicle.car", [0, 1, 2]), ("human.pedestrian.child", [1]), ("vehicle.truck", [0, 2]),
                               ("animal", [1, 2]), ("movable_object.barrier", [2])):
            self.instance(category, [samples[i] for i in seen], place)

    def data(self, sample, channel, time, place, key):
        place = place + self.random.uniform(0, 0.3, 3)
        self.add("ego_pose", timestamp=time, translation=place.tolist(), rotation=quaternion(self.random, 0.01))
        sensor = list(CHANNELS).index(channel)
        form = {"lidar": "pcd.bin", "camera": "jpg", "radar": "pcd"}[CHANNELS[channel]]
        name = f"{'samples' if key else 'sweeps'}/{channel}/n1__{channel}__{time}.{form}"
        size = (900, 1600) if CHANNELS[channel] == "camera" else (0, 0)
        row = self.add("sample_data", sample_token=sample["token"], ego_pose_token=self.last("ego_pose"),
                       calibrated_sensor_token=f"calibrated_sensor{sensor}", timestamp=time, fileformat=form.split(".")[0],
                       is_key_frame=key, height=size[0], width=size[1], filename=name)
        self.files[name] = np.zeros(0, np.uint8)
        if channel == "LIDAR_TOP":
            xyz = self.random.normal(0, 12, (POINTS, 3)) * [1, 1, 0.1]
            xyz[0] = 2, 1e-9, 0  # which a transform that is nearly none would change
            rest = self.random.integers(0, 256, POINTS), np.arange(POINTS) % 32
            self.files[name] = np.column_stack([xyz, *rest]).astype(np.float32)
            if key:
                labels = f"lidarseg/v1.0-mini/{row['token']}_lidarseg.bin"
                self.add("lidarseg", sample_data_token=row["token"], filename=labels)
                self.t["lidarseg"][-1]["token"] = row["token"]
                self.files[labels] = self.random.integers(0, 32, POINTS).astype(np.uint8)
        return row

    def instance(self, category, samples, place):
        instance = self.add("instance", category_token=f"category{CATEGORIES.index(category)}", nbr_annotations=len(samples))
        rows = []
        for sample in samples:
            place = place + self.random.uniform(-6, 6, 3) * [1, 1, 0.1]
            rows.append(self.add(
                "sample_annotation", sample_token=sample["token"], instance_token=instance["token"], attribute_tokens=[],
                visibility_token="", translation=place.tolist(), size=self.random.uniform(0.5, 6, 3).tolist(),
                rotation=quaternion(self.random, 0.01), num_lidar_pts=int(self.random.integers(0, 50)), num_radar_pts=0))
        self.linked(rows)
        instance.update(first_annotation_token=rows[0]["token"], last_annotation_token=rows[-1]["token"])

    def write(self, root, version="v1.0-mini"):
        (root / version).mkdir(parents=True, exist_ok=True)
        for name, rows in self.t.items():
            (root / version / f"{name}.json").write_text(json.dumps(rows, indent=0))
        for name, values in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(values.tobytes())
