#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make a C source that holds a text: embed.py INPUT OUTPUT.c

The text becomes an array of bytes and the function that hands it out."""

import sys


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    lines = ["/* Made from %s by embed.py. */" % sys.argv[1].rsplit("/", 1)[-1],
             '#include "phca_config.h"', "",
             "static const char phca_config_default[] = {"]
    for i in range(0, len(data), 16):
        lines.append("\t" + " ".join("%d," % b for b in data[i:i + 16]))
    lines += ["\t0", "};", "", "const char *phca_config_default_text(size_t *len)", "{",
              "\t*len = sizeof(phca_config_default) - 1;", "\treturn phca_config_default;", "}", ""]
    with open(sys.argv[2], "w") as f:
        f.write("\n".join(lines))


if __name__ == "__main__":
    main()
