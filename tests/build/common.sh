# SPDX-License-Identifier: MIT
# What the tests of the ways in share. Each copies examples/minimal to a directory of its own and builds it there
# against the checkout, by a build file as a user would write it.
#   $1: the checkout; $2: a directory to work in

set -eu
tree=$1
work=$2
# What examples/minimal is compiled with, by whatever build system.
minimal_cflags="-std=gnu11 -O2 -ffreestanding -mno-red-zone -mgeneral-regs-only -mcmodel=kernel -fno-pie
    -fno-stack-protector -fcf-protection=none -Wall -Wextra -Werror"
minimal_ldflags="-nostdlib -static -Wl,-z,max-page-size=4096 -Wl,--build-id=none"

# Words of a shell list as a quoted, comma-separated one.
quote_words() {
    printf "'%s'," "$@" | sed 's/,$//'
}

copy_example() {
    rm -rf "$work"
    mkdir -p "$work"
    cp "${TP_MINIMAL:-$tree/examples/minimal}"/* "$work"
    rm -f "$work/CMakeLists.txt" "$work/Makefile" "$work/meson.build"
    cd "$work"
}

boot_kernel() {
    "$tree/scripts/boot" native "$1"
    echo "$1 was built and booted"
}
