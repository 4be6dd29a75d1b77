"""The stub file says what the compiled module has: names, parameters, defaults, bases."""

import ast
import builtins
import inspect
from pathlib import Path

import pytest
import voxshift as vs
from voxshift import _voxshift

STUB = ast.parse((Path(vs.__file__).parent / "_voxshift.pyi").read_text(encoding="utf-8"))


def public(names):
    return {name for name in names if not name.startswith("_")}


def members(body):
    """Name -> definition of what a module or class body defines; of overloads the first."""
    found = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.setdefault(node.name, node)
    return found


def parameters(function):
    """[(name, default or None)] of a definition, without self."""
    args = function.args.args
    defaults = [None] * (len(args) - len(function.args.defaults)) + function.args.defaults
    found = [(arg.arg, default and ast.literal_eval(default)) for arg, default in zip(args, defaults)]
    return [(name, default) for name, default in found if name != "self"], len(function.args.defaults)


def signature_of(function):
    """The definition that pybind11 writes at the head of a docstring."""
    line = function.__doc__.splitlines()[0]
    return ast.parse(f"def {line}: ...").body[0]


IN_PYTHON = {"Page", "from_open3d", "label_tiles", "to_open3d", "write_html", "write_rrd"}  # typed where they are defined
STUBBED = members(STUB.body)
CLASSES = {name: node for name, node in STUBBED.items() if isinstance(node, ast.ClassDef) and not name.startswith("_")}
FUNCTIONS = {name: node for name, node in STUBBED.items() if isinstance(node, ast.FunctionDef) and not name.startswith("_")}
METHODS = [
    (cls, name)
    for cls, node in CLASSES.items()
    for name, member in members(node.body).items()
    if "property" not in [getattr(d, "id", "") for d in member.decorator_list]
]


def test_module_and_stub_have_the_same_names():
    assert public(dir(_voxshift)) == public(STUBBED)
    assert set(vs.__all__) == public(STUBBED) | IN_PYTHON | {"__version__"}
    assert all(getattr(vs, name) is getattr(_voxshift, name) for name in set(vs.__all__) - IN_PYTHON)
    assert list(vs.__all__) == sorted(vs.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    assert parameters(signature_of(getattr(_voxshift, name))) == parameters(FUNCTIONS[name])


@pytest.mark.parametrize("name", CLASSES)
def test_class_has_the_same_members(name):
    cls = getattr(vs, name)
    if issubclass(cls, BaseException):
        bases = [getattr(vs, base.id, None) or getattr(builtins, base.id) for base in CLASSES[name].bases]
        assert list(cls.__bases__) == bases
        assert cls.__module__ == "voxshift"
        return
    stubbed = members(CLASSES[name].body)
    assert public(dir(cls)) == public(stubbed)
    for member in public(stubbed):
        is_property = "property" in [getattr(d, "id", "") for d in stubbed[member].decorator_list]
        is_static = "staticmethod" in [getattr(d, "id", "") for d in stubbed[member].decorator_list]
        assert isinstance(inspect.getattr_static(cls, member), property) == is_property, member
        assert isinstance(inspect.getattr_static(cls, member), staticmethod) == is_static, member


@pytest.mark.parametrize(("cls", "name"), METHODS)
def test_method(cls, name):
    if name != "__len__":
        assert parameters(signature_of(getattr(getattr(vs, cls), name))) == parameters(members(CLASSES[cls].body)[name])


def test_everything_public_is_documented():
    for name in public(vs.__all__):
        thing = getattr(vs, name)
        assert thing.__doc__.split("\n\n", 1)[-1 if name in FUNCTIONS else 0].strip(), name
        if name in CLASSES and not issubclass(thing, BaseException):
            for member in public(dir(thing)):
                assert inspect.getattr_static(thing, member).__doc__, f"{name}.{member}"


@pytest.mark.parametrize("name", IN_PYTHON)
def test_python_functions_are_typed(name):
    signature = inspect.signature(getattr(vs, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


def test_package_is_marked_as_typed():
    assert (Path(vs.__file__).parent / "py.typed").is_file()


def test_version_and_build_info():
    info = vs.build_info()
    assert info["version"] == vs.__version__ == _voxshift.__version__
    assert vs.__version__.replace(".", "").isdigit()
    assert info["instruction_set"] in {"avx512", "avx2", "sse4", "neon"}
    assert set(info["products"]) == {"i8", "bf16", "f16"}
    assert all(name.startswith(("AVX", "SSE4", "NEON", "f32")) for name in info["products"].values())
    assert isinstance(info["cuda"], bool)
