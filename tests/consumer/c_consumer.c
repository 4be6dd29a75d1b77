/* Asks the installed C interface for its version; what it cannot open it says. */
#include <string.h>
#include <voxshift/c_api.h>

int main(void) {
  voxshift_model model;
  if (voxshift_model_load("nowhere", &model) != VOXSHIFT_IO_ERROR) return 1;
  return strstr(voxshift_last_error(), "nowhere") == NULL || voxshift_version()[0] == '\0';
}
