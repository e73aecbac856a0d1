#!/bin/sh
# Makes DejaVuSans-subset.ttf of DejaVu Sans 2.37 (Debian package fonts-dejavu-core) with fonttools 4.68.0:
# Latin, Greek, and the signs of figures. `sh make.sh` in this folder.
set -eu
pyftsubset "${1:-/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf}" \
    --unicodes="U+0020-007E,U+00A0-017F,U+0391-03C9,U+2010-2015,U+2018-201E,U+2022,U+2026,U+2030,U+2032,U+2033,U+2070-2079,U+207B,U+2080-2089,U+2190-2193,U+2202,U+2207,U+2208,U+2211,U+2212,U+221A,U+221E,U+2248,U+2260,U+2264,U+2265,U+25A0,U+25B2,U+25CF,U+25C6" \
    --layout-features="kern" --no-hinting --output-file=DejaVuSans-subset.ttf
