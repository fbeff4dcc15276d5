# SPDX-License-Identifier: MIT
# What the tests of tests/bugs share: how the library and the programs that show bugs are built, as
# cmake/TextpatchHost.cmake does it.

compile="${CC:-cc} -std=gnu11 -O2 -g -fno-pie -mno-red-zone -D_GNU_SOURCE= -Wall -Wextra"

fail() {
    echo "$*"
    exit 1
}

# list_sources TREE: the library's, as part of a process. A process has memcpy and its kin.
list_sources() {
    sed -n 's/^core  *//p' "$1/sources.txt" | grep -v '^asm/memory\.asm$'
}

# object_of DIRECTORY FILE: where the file's object goes
object_of() {
    echo "$1/$(echo "$2" | tr / _).o"
}

# build_object TREE FILE OBJECT: a file of the tree
build_object() {
    case $2 in
    *.asm) nasm -f elf64 -I "$1/include/" "$1/$2" -o "$3" ;;
    *) $compile -I "$1/include" -I "$1/lib" -I "$1/tests/silicon" -I "$1/tests/unit" -c "$1/$2" -o "$3" ;;
    esac
}

# link_program TREE PROGRAM OBJECTS… [LIBRARIES…]
link_program() {
    linked_tree=$1
    program=$2
    shift 2
    ${CC:-cc} -no-pie -o "$program" "$@" -L "$linked_tree/linker" -T "$linked_tree/linker/textpatch-host.ld" -pthread -Wl,-z,now
}
