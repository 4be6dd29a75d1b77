"""An extension of griffe: the types of the compiled module are those of its stub, the texts those of the module itself."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import griffe


def described(text: str, names: set[str]) -> str:
    """A docstring as Markdown: what begins with arguments, `stride, dilation: `, becomes an item of a list."""
    argument = f"(?:{'|'.join(sorted(names, key=len, reverse=True))})"
    listed = rf"(?={argument}(?:, {argument})*: )"
    begins = rf"(?m)(?:^|(?<=\. )){listed}|(?<=\. )(?=Raises )"
    paragraphs = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("    ") or not names:
            paragraphs.append(paragraph)
            continue
        for part in filter(None, re.split(begins, paragraph)):
            item = re.match(listed, part) is not None
            part = re.sub(r"\n\s*", "\n    " if item else "\n", part.strip())
            paragraphs.append(re.sub(r"^([\w, ]+): ", r"- **\1**: ", part) if item else part)
    words = "\n\n".join(paragraphs).split("`")  # every other one is code; a[b][c] among the others is no link
    return "`".join(part if index % 2 else part.replace("][", "]\\[") for index, part in enumerate(words))


def written(value: Any) -> str:
    """The docstring of a name of the compiled module, without the signature that pybind11 writes above it."""
    text = inspect.getdoc(value) or ""
    return re.sub(r"\A\w+\(.*\n*", "", text) if not inspect.isclass(value) else text


def readable(annotation: Any, aliases: dict[str, Any]) -> Any:
    """An annotation with the stub's own names for a few words, such as _Reduce, replaced by those words."""
    if isinstance(annotation, griffe.ExprName):
        return aliases.get(annotation.name, annotation)
    if isinstance(annotation, griffe.Expr):
        for name, value in vars(annotation).items():
            if name == "elements":
                annotation.elements = [readable(element, aliases) for element in value]
            elif isinstance(value, griffe.Expr):
                setattr(annotation, name, readable(value, aliases))
    return annotation


class CompiledDocstrings(griffe.Extension):
    """Fills what a stub has not: docstrings, and functions that have overloads alone."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        stub = pkg.members["_voxshift"]
        module = importlib.import_module("voxshift._voxshift")
        literals = {
            name: alias.value
            for name, alias in stub.members.items()
            if isinstance(alias, griffe.Attribute) and str(alias.value).startswith(("Literal[", "Optional[Literal["))
        }
        self.complete(stub, module, literals)
        for name, member in list(stub.members.items()):
            if not member.is_alias and member.is_class and not name.startswith("_"):
                self.complete(member, getattr(module, name), literals)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Docstrings of Python sources are of the same form."""
        if obj.docstring and not obj.is_module:
            names = {parameter.name for parameter in obj.parameters} if obj.is_function or obj.is_class else set()
            obj.docstring.value = described(obj.docstring.value, names)

    def complete(self, scope: Any, compiled: Any, literals: dict[str, Any]) -> None:
        for name, overloads in list(scope.overloads.items()):
            if overloads and name not in scope.members:
                scope.set_member(name, overloads[-1])
                scope.members[name].overloads = None
        for name, member in scope.members.items():
            if member.is_alias or (name.startswith("_") and name != "__init__"):
                continue
            if member.is_function:
                for parameter in member.parameters:
                    parameter.annotation = readable(parameter.annotation, literals)
            text = written(getattr(compiled, name, None)) if name != "__init__" else ""
            if text:
                member.docstring = griffe.Docstring(text, parent=member)
        if not scope.is_module:
            scope.docstring = griffe.Docstring(written(compiled), parent=scope)
