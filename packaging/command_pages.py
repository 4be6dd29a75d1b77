#!/usr/bin/env python3
"""Writes the manual page and the completions of bash that go with `voxshift`, from what its --help says.

command_pages.py PROGRAM [FOLDER]: FOLDER/voxshift.1 and FOLDER/voxshift.bash, the folder of this script by default.
"""

import dataclasses
import pathlib
import re
import subprocess
import sys

# "  NAME          What it is", or NAME alone with the rest on the next line; names stand two columns in, within groups four.
ENTRY = re.compile(r"^ {2,4}(?P<name>\S.*?)(?: {2,}(?P<text>\S.*))?$")
CONTINUED = re.compile(r"^ {30,}(?P<text>\S.*)$")
HEADINGS = {"Positionals:", "Options:", "Subcommands:"}


@dataclasses.dataclass
class Help:
    """A command's --help: sentences around it, and entries [name, text] of each section."""

    summary: str
    usage: str
    sections: dict
    notes: list


def read_help(program, *command):
    lines = subprocess.run([program, *command, "--help"], check=True, capture_output=True, text=True).stdout.splitlines()
    lines = [line for line in lines if line.strip()]
    usage = next(i for i, line in enumerate(lines) if line.startswith("Usage: "))
    found = Help(" ".join(lines[:usage]), lines[usage].removeprefix("Usage: "), {}, [])
    entries = None
    for line in lines[usage + 1:]:
        if line.strip() in HEADINGS:
            entries = found.sections.setdefault(line.strip().removesuffix(":"), [])
        elif (more := CONTINUED.match(line)) and entries:
            entries[-1][1] = f"{entries[-1][1]} {more['text']}".strip()
        elif line.startswith(("[", "  [")):  # an option group's heading and rule
            continue
        elif (entry := ENTRY.match(line)) and entries is not None:
            entries.append([entry["name"], entry["text"] or ""])
        else:
            found.notes.append(line)
    return found


def read_all(program):
    """Help of the program, and of its commands as {"synth lidar": Help}: those with commands of their own by these."""
    found = {}

    def visit(*command):
        of_command = read_help(program, *command)
        found[" ".join(command)] = of_command
        for name, _ in of_command.sections.get("Subcommands", []):
            visit(*command, name)

    visit()
    return found.pop(""), found


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return "\\&" + text if text.startswith((".", "'")) else text


def manual(top, commands):
    page = ['.\\" Made by packaging/command_pages.py of what `voxshift --help` says.', '.TH VOXSHIFT 1 "" "" "User Commands"',
            ".ad l", ".SH NAME", f"voxshift \\- {escaped(top.summary[0].lower() + top.summary[1:])}", ".SH SYNOPSIS",
            ".B voxshift", ".I command", ".RI [ options ]", ".br", ".B voxshift", ".I command", ".B \\-\\-help",
            ".br", ".B voxshift \\-\\-version", ".SH COMMANDS"]
    for name, of_command in commands.items():
        if "Subcommands" in of_command.sections:
            continue
        page += [f".SS voxshift {escaped(name)}", escaped(of_command.summary) + ".", ".PP",
                 escaped(of_command.usage)]
        for title in ("Positionals", "Options"):
            for entry, text in of_command.sections.get(title, []):
                if not entry.startswith("-h,"):
                    page += [".TP", f".B {escaped(entry)}", escaped(text)]
        page += [line for note in of_command.notes for line in (".PP", escaped(note))]
    page += [".SH EXIT STATUS", ".TP", ".B 0", "All is done.", ".TP", ".B 1",
             "An input or the model is bad: one line says which file and what was expected; the others are still done.",
             ".TP", ".B 2", "Wrong usage.", ".SH ENVIRONMENT", ".TP", ".B VOXSHIFT_MODELS",
             "Folder of the trained models.", ".TP", ".B VOXSHIFT_CPU",
             escaped("Instruction set to use: avx512, avx2, sse4 or neon; default the best that the CPU has.")]
    return "\n".join(page) + "\n"


def long_options(of_command):
    return [word for entry, _ in of_command.sections.get("Options", []) for word in re.findall(r"--[a-z0-9-]+", entry.split()[0])]


def completions(top, commands):
    first = [name for name in commands if " " not in name]
    lines = ["# Completions of bash for voxshift, made by packaging/command_pages.py.", "_voxshift() {",
             "  local word=${COMP_WORDS[COMP_CWORD]} words=",
             '  case "${COMP_WORDS[1]-} ${COMP_WORDS[2]-}" in']
    for name, of_command in sorted(commands.items(), key=lambda item: -item[0].count(" ")):  # the longer name first
        words = [inner for inner, _ in of_command.sections.get("Subcommands", [])] + long_options(of_command)
        pattern = f'"{name}"' if " " in name else f'"{name} "*'
        lines.append(f"    {pattern}) words=\"{' '.join(words)}\" ;;")
    lines += ["  esac", f"  [[ $COMP_CWORD -gt 1 ]] || words=\"{' '.join(first + long_options(top))}\"",
              "  COMPREPLY=()",
              "  # Files where no word fits, which the option after the name asks bash for.",
              '  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -W "$words" -- "$word")',
              "}", "complete -o bashdefault -o default -F _voxshift voxshift"]
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) == 3 else pathlib.Path(__file__).parent)
    top, commands = read_all(sys.argv[1])
    (folder / "voxshift.1").write_text(manual(top, commands), encoding="utf-8")
    (folder / "voxshift.bash").write_text(completions(top, commands), encoding="utf-8")


if __name__ == "__main__":
    main()
