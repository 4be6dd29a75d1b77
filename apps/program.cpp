#include "run_command.h"

int main(int argc, char** argv) { return voxshift::run_command(argc, argv); }
