// A LiDAR's messages to messages with labels, as a ROS node does it, without ROS: label_messages MODEL.safetensors
// [FRAMES]
#include <voxshift/ros/cloud_labeller.h>
#include <voxshift/ros/frame_worker.h>
#include <voxshift/synth/lidar.h>

#include <cstdlib>
#include <iostream>
#include <map>

namespace ros = voxshift::ros;

int main(int argc, char** argv) try {
  if (argc < 2) return std::cerr << "usage: label_messages MODEL.safetensors [FRAMES]\n", 2;
  const voxshift::Model model = voxshift::Model::load(argv[1]);
  const int frames = argc > 2 ? std::atoi(argv[2]) : 3;

  // Labels on a thread of its own; what the driver gives meanwhile waits, the newest alone.
  ros::CloudLabeller labeller(model);
  std::map<std::string, int> points;
  const auto label = [&](ros::PointCloud2& message) {
    const ros::PointCloud2& labelled = labeller.label(message);
    const ros::PointField& field = labelled.fields.back();  // "label", uint8
    for (std::size_t at = field.offset; at < labelled.data.size(); at += labelled.point_step)
      if (labelled.data[at] < model.classes().size()) ++points[model.classes()[labelled.data[at]].name];
  };
  ros::FrameWorker<ros::PointCloud2> worker(label, [](const std::string& error) { std::cerr << error << "\n"; });

  // In place of a driver: x, y, z and intensity as float32, 16 bytes a point.
  const std::vector<ros::PointField> fields{{"x", 0}, {"y", 4}, {"z", 8}, {"intensity", 12}};
  std::vector<voxshift::SynthScan> scans;
  for (int frame = 0; frame < frames; ++frame)
    scans.push_back(voxshift::synth_lidar(static_cast<std::uint64_t>(frame)));
  for (const voxshift::SynthScan& scan : scans) {
    ros::PointCloud2 message;
    message.width = static_cast<std::uint32_t>(scan.points.size() / 4);
    message.fields = fields;
    message.point_step = 16;
    message.row_step = 16 * message.width;
    message.data = {reinterpret_cast<const std::uint8_t*>(scan.points.data()), 4 * scan.points.size()};
    worker.give(message);
  }
  worker.finish();
  std::cout << worker.report().text() << "\n";
  for (const auto& [name, count] : points) std::cout << name << " " << count << "\n";
  return 0;
} catch (const voxshift::Error& error) {
  return std::cerr << error.what() << "\n", 1;
}
