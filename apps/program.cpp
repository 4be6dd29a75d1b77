#include "heap.h"
#include "run_command.h"

int main(int argc, char** argv) {
  voxshift::keep_heap();
  return voxshift::run_command(argc, argv);
}
