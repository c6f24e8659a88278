#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# One seed of fuzz-filter-load: an eBPF object without DWARF.
#
#   filter_seed.sh OBJECT OUTPUT CORPUS-FOLDER
set -eu
strip=$(command -v llvm-strip || command -v llvm-strip-14)
"$strip" -g -o "$2" "$1"
mkdir -p "$3"
cp "$2" "$3/"
