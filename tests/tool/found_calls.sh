# SPDX-License-Identifier: MIT
# find_calls TOOL KERNEL: the call of the static call is a site of its own.
find_calls() {
    "$1" list "$2" | grep -A 1 '^[0-9a-f]\{16\} ' | grep -q '^  static call, 5 bytes, key pick_task' || {
        echo "$2: no call of the static call is a site"
        exit 1
    }
}
