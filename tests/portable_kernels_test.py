#!/usr/bin/env python3
"""What Orin (sm_87) lacks stands in CUDA sources under __CUDA_ARCH_FEAT_SM90_ALL alone, which is defined where sm_90a is compiled: the
rest is the portable path. Reads the sources' text; macros are looked at where they are used."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUARD = re.compile(r"#\s*if(def\s+|\s+defined\s*\(\s*)__CUDA_ARCH_FEAT_SM90_ALL\b")
# Instructions and words of CUDA that came with sm_89 and sm_90.
NEWER = re.compile(
    r"\bwgmma\.|cp\.async\.bulk|cp\.reduce\.async|\bmbarrier\.|\bsetmaxnreg\.|\bgriddepcontrol\.|\bstmatrix\.|\belect\.sync|fence\.proxy"
    r"|\bmapa\.|\bbarrier\.cluster|multimem\.|\.e[45]m[23]\b|\bclusterlaunchcontrol\.|__cluster_dims__"
    r"|cudaLaunchAttributeClusterDimension|\bcuTensorMap\w+|\bCUtensorMap\b|__nv_fp8\w*|\bthis_cluster\b")


def unguarded(text):
    """(line, what) of every newer word outside of the guard, of comments and of macros' definitions."""
    text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment.group().count("\n"), text, flags=re.DOTALL)
    open_ifs, macro, found = [], False, []
    for number, line in enumerate(text.splitlines(), 1):
        code = re.sub(r"//.*", "", line)
        directive = re.match(r"\s*#\s*(\w+)", code)
        defines = macro or (directive and directive.group(1) == "define")
        macro = defines and code.rstrip().endswith("\\")
        if defines:
            continue
        if directive:
            word = directive.group(1)
            if word in ("if", "ifdef", "ifndef"):
                open_ifs.append(bool(GUARD.search(code)))
            elif word in ("else", "elif") and open_ifs:
                open_ifs[-1] = word == "elif" and bool(GUARD.search(code.replace("elif", "if")))
            elif word == "endif" and open_ifs:
                open_ifs.pop()
        elif not any(open_ifs):
            found += [(number, match.group()) for match in NEWER.finditer(code)]
    return found


def check_the_check():
    inside = "#ifdef __CUDA_ARCH_FEAT_SM90_ALL\n  asm(\"wgmma.fence\");\n#else\n  plain();\n#endif\n"
    assert unguarded(inside) == []
    assert unguarded(inside.replace("plain()", 'asm("wgmma.fence")')) == [(4, "wgmma.")]
    assert unguarded('// wgmma\n/* cp.async.bulk\n */ asm("mbarrier.init");\n') == [(3, "mbarrier.")]
    assert unguarded('#define PRODUCT(x) \\\n  asm("wgmma.fence" x)\nasm("cp.async.cg");\n') == []
    assert unguarded("#ifdef OTHER\nmbarrier.init\n#endif\n") == [(2, "mbarrier.")]


def main():
    check_the_check()
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT) / "kernels_cuda"
    sources = sorted(path for path in folder.glob("*") if path.suffix in (".cu", ".h"))
    assert len(sources) > 20, folder
    errors = [f"{path.relative_to(folder.parent)}:{line}: {word} is not on sm_87; put it under __CUDA_ARCH_FEAT_SM90_ALL"
              for path in sources for line, word in unguarded(path.read_text(encoding="utf-8"))]
    print(*errors, sep="\n", end="\n" if errors else "")
    sys.exit(bool(errors))


if __name__ == "__main__":
    main()
