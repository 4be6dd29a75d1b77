// The whole command, for the program `voxshift` and for the Python package.
#pragma once

namespace voxshift {

/// Does what the arguments ask for, argv[0] left aside, and says on standard error what is wrong; returns the exit
/// status: 0 done, 1 bad input or model, 2 usage. Installs signal handlers and closes standard output: what calls this
/// ends with it.
int run_command(int argc, char** argv);

}  // namespace voxshift
