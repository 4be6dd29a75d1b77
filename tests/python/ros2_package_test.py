"""What can be said of ros2/ without ROS: its files agree with each other, and the launch file is Python."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ros2"
NODE = (PACKAGE / "src" / "label_node.cpp").read_text()
CMAKE = (PACKAGE / "CMakeLists.txt").read_text()


def declared():
    """Name -> default of the parameters that the node declares, as C++ has it."""
    return dict(re.findall(r'declare_parameter<[\w:]+>\("(\w+)", ("?[\w.-]*"?)\)', NODE))


def test_the_file_of_parameters_has_those_of_the_node_with_its_defaults():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    found = yaml.safe_load((PACKAGE / "config" / "label_points.yaml").read_text())["/**"]["ros__parameters"]
    assert len(found) == NODE.count("declare_parameter<") == len(declared()) > 5
    assert {name: yaml.safe_load(value) for name, value in declared().items()} == found


def test_names_are_the_same_everywhere():
    launch = (PACKAGE / "launch" / "label_points.launch.py").read_text()
    compile(launch, "label_points.launch.py", "exec")
    package = ElementTree.parse(PACKAGE / "package.xml").getroot()
    name = package.findtext("name")
    assert f"project({name} " in CMAKE and f'package="{name}"' in launch and f'get_package_share_directory("{name}")' in launch
    (plugin,) = re.findall(r'PLUGIN "([\w:]+)"', CMAKE)
    assert f'plugin="{plugin}"' in launch and f"RCLCPP_COMPONENTS_REGISTER_NODE({plugin})" in NODE
    assert re.findall(r'(?:create_publisher|create_subscription)<PointCloud2>\("(\w+)"', NODE) == ["points_labelled", "points"]
    assert {"points", "points_labelled"} == set(re.findall(r'\("(\w+)", LaunchConfiguration', launch))
    needed = set(re.findall(r"find_package\((\w+)", CMAKE)) - {"voxshift"}
    assert needed == {tag.text for tag in package if tag.tag in ("depend", "buildtool_depend")}


def test_the_version_is_that_of_the_library():
    assert ElementTree.parse(PACKAGE / "package.xml").getroot().findtext("version") == (ROOT / "VERSION").read_text().strip()
