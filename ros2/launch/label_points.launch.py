"""Loads the component into a container of its own: ros2 launch voxshift_ros2 label_points.launch.py model:=FILE points:=/TOPIC."""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode


def generate_launch_description():
    defaults = os.path.join(get_package_share_directory("voxshift_ros2"), "config", "label_points.yaml")
    node = ComposableNode(
        package="voxshift_ros2",
        plugin="voxshift_ros2::LabelNode",
        name="label_points",
        parameters=[LaunchConfiguration("params"), {"model": LaunchConfiguration("model")}],
        remappings=[("points", LaunchConfiguration("points")), ("points_labelled", LaunchConfiguration("labelled"))],
        extra_arguments=[{"use_intra_process_comms": True}],
    )
    container = ComposableNodeContainer(
        package="rclcpp_components",
        executable="component_container",
        name="voxshift",
        namespace="",
        composable_node_descriptions=[node],
        output="screen",
    )
    return LaunchDescription([
        DeclareLaunchArgument("model", description="a model file of voxshift that labels points"),
        DeclareLaunchArgument("points", default_value="/points", description="the topic that is read"),
        DeclareLaunchArgument("labelled", default_value="/points_labelled", description="the topic that is written"),
        DeclareLaunchArgument("params", default_value=defaults, description="a file of parameters"),
        container,
    ])
