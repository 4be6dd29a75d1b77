// Everything that is public.
#pragma once

#include <voxshift/models/confusion.h>
#include <voxshift/models/protocol.h>
#include <voxshift/models/session.h>
#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/neighbors.h>
#include <voxshift/point_voxel/sampling.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/rows/ops.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/sparse_conv/conv.h>
#include <voxshift/sparse_conv/pool.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tensor/array.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/sparse_tensor.h>
#include <voxshift/tensor/version.h>
