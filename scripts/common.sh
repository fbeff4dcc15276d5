# SPDX-License-Identifier: MIT
# What the scripts share; read by them, not run. $tree is the checkout.

tree=$(cd "$(dirname "$0")/.." && pwd)
skipped=77

# Colours are for eyes: only on a terminal.
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
    on_terminal=yes
    bold=$(printf '\033[1m') green=$(printf '\033[32m') red=$(printf '\033[31m')
    yellow=$(printf '\033[33m') plain=$(printf '\033[0m')
else
    on_terminal=
    bold='' green='' red='' yellow='' plain=''
fi

say() {
    printf '%s\n' "$bold$*$plain"
}

fail() {
    printf '%s\n' "$red$(basename "$0"): $*$plain" >&2
    exit 1
}

# The comment block under an script's licence line is its manual.
print_manual() {
    sed -n '3,/^[^#]/{/^#/!d;s/^# \{0,1\}//p;}' "$0"
}

# TP_DEPS=no is for those who installed everything by other means.
require_deps() {
    [ "${TP_DEPS:-}" = no ] || "$tree/scripts/deps" "$1" || fail "something is missing (see above; TP_DEPS=no goes on anyway)"
}

# run_quietly TITLE COMMAND…: on a terminal its output goes by; in a pipe it is shown only if the command fails.
run_quietly() {
    say "$1"
    shift
    if [ -n "$on_terminal" ]; then
        "$@" || fail "failed: $*"
        return 0
    fi
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log"
        rm -f "$log"
        fail "failed: $*"
    fi
    rm -f "$log"
}
