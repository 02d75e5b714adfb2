#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes or mends .venv: `tools/venv.sh run|test|fuzz|docs|mutants`. Does nothing where nothing has changed.
set -eu

level=$1
locked=requirements/$level.txt
stamp=.venv/.$level.sum
sum=$(cksum < "$locked")

is_current() {
	[ -x .venv/bin/python ] && [ "$(cat "$1" 2> /dev/null || :)" = "$2" ]
}

# What tests need, and what fuzzing needs, includes what the product needs.
is_current "$stamp" "$sum" && exit 0
if [ "$level" = run ] && is_current .venv/.test.sum "$(cksum < requirements/test.txt)"; then
	exit 0
fi

new_enough() {
	"$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null
}

if ! .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
	python=
	for name in python3.11 python3 python3.12 python3.13 python3.14; do
		if new_enough "$name"; then
			python=$name
			break
		fi
	done
	if [ -z "$python" ]; then
		echo "Python 3.11 or newer is needed on the PATH: apt-get install python3" >&2
		exit 1
	fi
	echo "Making .venv with $("$python" -V)" >&2
	if ! "$python" -m venv --clear .venv; then
		echo "$python cannot make a virtual environment: apt-get install python3-venv" >&2
		exit 1
	fi
fi

echo "Installing $locked into .venv" >&2
rm -f "$stamp"
hint="does pip reach its package index?"
set --
if [ "$level" = fuzz ]; then # the fuzzer's sources want a compiler of their own
	set -- --only-binary=:all:
	hint="the fuzzer has wheels for CPython 3.11 to 3.13 on Linux x86-64 only"
fi
if ! .venv/bin/python -m pip --disable-pip-version-check install -qq --require-hashes "$@" \
	--requirement "$locked"; then
	echo "the libraries could not be installed: $hint" >&2
	exit 1
fi
echo "$sum" > "$stamp"
