#!/bin/sh
# SPDX-License-Identifier: MIT
# seeded.sh NAME PROGRAM: runs the checker in which bug NAME is seeded on the model that seeded.txt
# names, and fails unless it reports the violation that stands there.
name=$1
program=$2
line=$(grep "^$name " "$(dirname "$0")/seeded.txt") || { echo "$name is not in seeded.txt"; exit 1; }
set -- $line
model=$2
memory=$3
shift 3
expected=$*
bound=2
case $memory in
*/*)
    bound=${memory#*/}
    memory=${memory%/*}
    ;;
esac
[ "$expected" != none ] || bound=1
report=$("$program" --model "$model" --"$memory" --bound $bound --seconds 60 --quiet)
found=$(printf '%s\n' "$report" | sed -n 's/^violation: \([^(]*\) (.*/\1/p' | head -n 1)
states=$(printf '%s\n' "$report" | sed -n 's/.* \([0-9][0-9]*\) states.* \([0-9.]*\) s$/\1 states, \2 s/p' | head -n 1)
if [ "$expected" = none ]; then
    [ -z "$found" ] || { echo "$name: found ($found), though seeded.txt says that nothing can"; exit 1; }
    echo "$name: not found, as README.md explains ($model, $memory: $states)"
    exit 0
fi
[ "$found" = "$expected" ] || {
    echo "$name: expected '$expected', the checker reports '${found:-nothing}' ($model, $memory)"
    printf '%s\n' "$report"
    exit 1
}
echo "$name: $found ($model, $memory: $states)"
