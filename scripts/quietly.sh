# To be sourced. quietly NAME COMMAND...: runs the command with its output in build/NAME.log; when it fails, shows that
# and ends the script.
mkdir -p build
quietly() {
  local log=build/$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    echo "failed: $*" >&2
    exit 1
  }
}
