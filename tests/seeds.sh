#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The programs of examples/seeds do what the same programs do in Python (seeds.c).
set -u
exec "${top_builddir:?}/tests/seeds" "$top_builddir/examples/seeds"
