"""Trains TSM-MobileNetV2 to tell the motions of simulated clips apart, frame by frame as a stream sees them."""

import json
from pathlib import Path

import numpy as np
import torch

import voxshift as vs
import voxshift.torch as vst
from voxshift.train import loop
from voxshift.train.place import Place
from voxshift.train.scans import HELD_OUT

SUMMARY = "train a network that recognises motions in video"

PROFILE = "motions"


def add_arguments(parser):
    loop.add_arguments(parser, steps=6000, lr=2e-3, batch_size=10)
    loop.add_distillation(parser)
    add = parser.add_argument
    add("--init", type=Path, metavar="MODEL", help="start from this model file, or shipped model, instead of random weights")
    add("--width", type=float, default=0.5, help="factor of all channel counts (default %(default)s)")
    add("--shift-div", type=loop.positive, default=4, help="one in so many channels is shifted (default %(default)s)")
    add("--frames", type=loop.positive, default=10, help="of a training clip (default %(default)s)")
    add("--warm-up-frames", type=int, default=4, help="frames of a clip before the loss counts (default %(default)s)")
    add("--no-shift", action="store_true", help="train a network that sees every frame by itself, for comparison")
    add("--val-clips", type=loop.positive, default=90, help="clips an evaluation uses (default %(default)s)")
    add("--float32", action="store_true", help="write the weights as float32 instead of float16")


class Clips(torch.utils.data.Dataset):
    """Clip i of `count`: frames uint8 [T, H, W, 3] and its label, a pure function of (seed, i, count).

    Training begins with fast motion, up to PACE times that of the simulator, without noise: slow motion moves features by
    less than one of their cells, and from random weights nothing is learnt of it. Slower clips, noise, panning and brightness
    come in step by step. is_trained: of a network that knows motion, all clips are as hard as the last ones.
    """

    PACE = 4.0
    SLOWEST = 0.8

    def __init__(self, seed, count, frames, size, is_trained=False):
        self.seed, self.count, self.frames, self.size, self.is_trained = seed, count, frames, size, is_trained

    def __getitem__(self, i):
        random = np.random.default_rng([self.seed, i])
        hard = 1.0 if self.is_trained else float(np.clip((i / self.count - 0.15) / 0.35, 0, 1))
        slowest = 3 * (self.SLOWEST / 3) ** hard
        pace = np.exp(random.uniform(np.log(slowest), np.log(self.PACE - (self.PACE - 2) * hard)))
        clip, label = vs.synth_video(
            (self.seed << 32) + i,
            frames=self.frames,
            height=self.size,
            width=self.size,
            frames_per_second=25 / pace,
            label=int(random.integers(len(vs.synth_video_classes()))),
            panning_camera=bool(random.random() < 0.3 * hard),
            noise=float(random.uniform(0, 4 * hard)),
        )
        gain, offset = 1 + hard * random.uniform(-0.2, 0.2), hard * random.uniform(-20, 20)
        bright = np.clip(clip * np.float32(gain) + np.float32(offset), 0, 255).astype(np.uint8)
        return torch.from_numpy(bright), label


def collate(examples):
    """(frames uint8 [clips * T, H, W, 3], labels int64 [clips])"""
    return torch.cat([frames for frames, _ in examples]), torch.tensor([label for _, label in examples])


class Normalization:
    """Frames uint8 [.., 3] -> float32, 0 on average and 1 in deviation, by the mean and std of a profile, on the device of both."""

    def __init__(self, profile, device="cpu"):
        self.mean, self.std = (torch.tensor(profile[name]).to(device) for name in ("mean", "std"))

    def __call__(self, frames):
        return (frames.float() / 255 - self.mean) / self.std


def accuracy(model, clips, frames=32):
    """Share of held-out clips whose label a stream gives from the sum of its logits over the clip, and by each frame."""
    size = model.profile["frames"]["height"]
    right = seen = right_frames = 0
    for i in range(clips):
        clip, label = vs.synth_video(HELD_OUT + i, frames=frames, height=size, width=size)
        stream = vs.Recognizer(model, skip="off")
        results = [stream.push(frame) for frame in clip]
        right += int(np.argmax(sum(r.scores for r in results))) == label
        right_frames += sum(int(np.argmax(r.scores)) == label for r in results)
        seen += len(results)
    return {"accuracy": right / clips, "frame_accuracy": right_frames / seen}


def new_network(options):
    names = vs.synth_video_classes()
    if options.init:
        model = loop.initial_model(options.init)
        if model.graph.get("input") != "frames" or [c.name for c in model.classes] != names:
            raise loop.Failure(f"{options.init}: a network that tells the motions of synth_video apart is wanted")
        return vst.Network(model)
    motions = [(name, i, (0, 0, 0)) for i, name in enumerate(names)]
    shift = None if options.no_shift else "online"
    return vst.TSMMobileNetV2(options.width, motions, options.seed, shift, PROFILE, options.shift_div)


def run(options):
    place = Place(options)
    torch.manual_seed(options.seed)
    network = new_network(options)
    profile = network.model.profile["frames"]
    count = options.steps * options.batch_size
    clips = Clips(options.seed + 1, count, options.frames, profile["height"], options.init is not None)
    distillation = loop.Distillation(network, options, place)
    network = loop.for_i8(network, options, place, clips, collate,
                          lambda net, batch: net(Normalization(profile)(batch[0]), n_segment=options.frames))
    normalized = Normalization(profile, place.device)

    def loss(forward, batch):
        frames, labels = batch
        given = normalized(frames)
        logits = forward(given, n_segment=options.frames)
        late = logits.reshape(len(labels), options.frames, -1)[:, options.warm_up_frames :]
        right = torch.nn.functional.cross_entropy(late.flatten(0, 1), labels[:, None].expand(late.shape[:2]).flatten())
        return right + distillation(logits, given, n_segment=options.frames)

    task = loop.Task(
        network,
        clips,
        collate,
        loss,
        lambda net: accuracy(place.deployed(net.to_model()), options.val_clips),
        lambda net, path: loop.save(net, path, options),
        "accuracy",
    )
    rows = loop.train(task, options, place)
    if rows:
        loop.write_atomically(
            options.out / "metrics.json", lambda path: path.write_text(json.dumps(rows[-1], indent=2) + "\n")
        )
