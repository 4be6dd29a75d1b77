// A component that labels sensor_msgs/PointCloud2: topics, parameters and log lines alone. What it does with a message,
// and which messages it leaves out, is voxshift/ros/, which is compiled and tested without ROS; this file was not
// compiled by its authors.
#include <voxshift/ros/cloud_labeller.h>
#include <voxshift/ros/frame_worker.h>
#include <voxshift/ros/generated_message.h>

#include <chrono>
#include <memory>
#include <rclcpp/rclcpp.hpp>
#include <rclcpp_components/register_node_macro.hpp>
#include <sensor_msgs/msg/point_cloud2.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace voxshift_ros2 {

using sensor_msgs::msg::PointCloud2;

class LabelNode : public rclcpp::Node {
 public:
  explicit LabelNode(const rclcpp::NodeOptions& options) : Node("label_points", options), labeller_(make_labeller()) {
    output_ = create_publisher<PointCloud2>("points_labelled", rclcpp::QoS(1));
    const std::chrono::milliseconds budget(declare_parameter<int>("budget_ms", 100));
    worker_ = std::make_unique<Worker>([this](Frame& frame) { label(*frame); },
                                       [this](const std::string& error) { tell_failure(error); }, budget);
    input_ = create_subscription<PointCloud2>("points", rclcpp::SensorDataQoS().keep_last(1),
                                              [this](Frame frame) { worker_->give(std::move(frame)); });
    const std::chrono::seconds every(declare_parameter<int>("report_every_s", 10));
    if (every.count() > 0) timer_ = create_wall_timer(every, [this] { tell_report(); });
  }

  ~LabelNode() override {
    input_.reset();
    worker_->finish();
    tell_report();
  }

 private:
  using Frame = PointCloud2::ConstSharedPtr;
  using Worker = voxshift::ros::FrameWorker<Frame>;

  std::unique_ptr<voxshift::ros::CloudLabeller> make_labeller() {
    const auto model = declare_parameter<std::string>("model", "");
    const auto sensor = declare_parameter<std::string>("sensor", "");
    const auto full_remission = declare_parameter<double>("full_remission", -1.0);
    voxshift::ros::LabellerOptions options;
    options.device = voxshift::parse_device(declare_parameter<std::string>("device", "cpu"));
    options.threads = voxshift::Threads(static_cast<int>(declare_parameter<int>("threads", 0)));
    if (!sensor.empty()) options.prepare.sensor = voxshift::find_sensor(sensor);
    if (full_remission >= 0) options.prepare.full_remission = static_cast<float>(full_remission);
    options.style = voxshift::ros::cloud_style(declare_parameter<std::string>("form", "fields"),
                                               declare_parameter<std::string>("ids", "train"),
                                               declare_parameter<std::string>("field", "label"));
    return std::make_unique<voxshift::ros::CloudLabeller>(voxshift::Model::load(model), options);
  }

  // On the worker's thread.
  void label(const PointCloud2& message) {
    auto labelled = std::make_unique<PointCloud2>();
    labelled->header = message.header;
    voxshift::ros::assign(labeller_->label(voxshift::ros::view_of(message, fields_)), *labelled);
    output_->publish(std::move(labelled));
    for (const std::string& note : labeller_->report().notes)
      if (told_.insert(note).second) RCLCPP_WARN(get_logger(), "guessed: %s", note.c_str());
  }

  void tell_failure(const std::string& error) {
    RCLCPP_ERROR_THROTTLE(get_logger(), *get_clock(), 1000, "a message was left out: %s", error.c_str());
  }

  void tell_report() { RCLCPP_INFO(get_logger(), "%s", worker_->report().text().c_str()); }

  std::unique_ptr<voxshift::ros::CloudLabeller> labeller_;
  std::vector<voxshift::ros::PointField> fields_;
  std::set<std::string> told_;
  rclcpp::Publisher<PointCloud2>::SharedPtr output_;
  rclcpp::Subscription<PointCloud2>::SharedPtr input_;
  rclcpp::TimerBase::SharedPtr timer_;
  std::unique_ptr<Worker> worker_;  // last, so that its thread ends before what it uses
};

}  // namespace voxshift_ros2

RCLCPP_COMPONENTS_REGISTER_NODE(voxshift_ros2::LabelNode)
