// Everything that is public, from what most people ask for to what it is made of; but for
// voxshift/video/frame_source.h, which needs the target voxshift::frames.
#pragma once

// Points to labels: a model, files of points, what prepares them, and how good the labels are.
#include <voxshift/files/kitti.h>
#include <voxshift/files/read_points.h>
#include <voxshift/tasks/confusion.h>
#include <voxshift/tasks/detection_score.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/prepare_points.h>
#include <voxshift/tasks/protocol.h>
#include <voxshift/tasks/segmenter.h>

// Points to boxes.
#include <voxshift/tasks/detector.h>

// Points, labels and boxes to a page that a browser shows.
#include <voxshift/look/page.h>

// Frames to a label: streams that compute what changed, whole clips, and what turns a camera's frames into theirs.
#include <voxshift/streaming/frame_preparer.h>
#include <voxshift/tasks/calibrate_skip.h>
#include <voxshift/tasks/label_smoother.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tasks/video_network.h>

// Messages of ROS to messages with labels, without ROS.
#include <voxshift/ros/cloud_labeller.h>
#include <voxshift/ros/frame_worker.h>
#include <voxshift/ros/generated_message.h>

// From f32 to i8.
#include <voxshift/quantize/quantize.h>

// Any network: a graph of ops with named tensors, and what runs it, input by input or frame after frame.
#include <voxshift/engine/session.h>
#include <voxshift/graph/network.h>
#include <voxshift/streaming/frame_stream.h>

// Operators, one by one: sparse convolution, points and voxels, boxes, video, rows of features.
#include <voxshift/detection/boxes.h>
#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/neighbors.h>
#include <voxshift/point_voxel/sampling.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/rows/ops.h>
#include <voxshift/rows/training.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/sparse_conv/conv.h>
#include <voxshift/sparse_conv/conv_backward.h>
#include <voxshift/sparse_conv/pool.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/conv2d_backward.h>
#include <voxshift/video/masked_layer.h>
#include <voxshift/video/pool2d.h>

// What all of it works on: arrays, coordinates, sparse tensors, devices, threads, errors.
#include <voxshift/tensor/array.h>
#include <voxshift/tensor/box.h>
#include <voxshift/tensor/coordinates.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/host_allocator.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/sparse_tensor.h>
#include <voxshift/tensor/version.h>

// Simulated scans and clips, with their labels.
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/video.h>
