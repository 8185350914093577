#!/bin/sh
# build.sh [FOLDER] - assembles the program of the throw-away image for each architecture, as
# FOLDER/probe-ARCHITECTURE (by default beside this file, where they are committed).
# Their bytes are those of the source, whatever the assembler's version. It takes Debian's packages
# binutils-x86-64-linux-gnu, binutils-aarch64-linux-gnu and binutils-arm-linux-gnueabihf.
set -eu
sources=$(dirname "$0")
folder=${1:-$sources}
build() { # ARCHITECTURE TOOLS [OPTION]
    made=$folder/probe-$1
    # one source, in this order: the words, then what is said with them
    "$2-as" ${3:+"$3"} -o "$made.o" "$sources/$1.s" "$sources/probe.s"
    "$2-objcopy" -O binary -j .text "$made.o" "$made"
    rm "$made.o"
    chmod 755 "$made"
}
build amd64 x86_64-linux-gnu --64
build 386 x86_64-linux-gnu --32
build arm64 aarch64-linux-gnu
build arm arm-linux-gnueabihf
