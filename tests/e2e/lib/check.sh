# Helpers of the scripts in tests/e2e. Source this file; every check that fails is told and counted, `finish` ends the script.

failures=0

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

finish() {
	test "$failures" = 0 || { echo "$failures checks failed" >&2; exit 1; }
	exit 0
}

# refuses CULPRIT COMMAND...: exit status 2, nothing on standard output, one line on standard error that contains CULPRIT,
# and no new file in this folder.
refuses() {
	culprit=$1
	shift
	before=$(find . | sort)
	status=0
	"$@" >../out.$$ 2>../err.$$ </dev/null || status=$?
	test "$status" = 2 || fail "exit status $status, not 2: $*"
	test ! -s ../out.$$ || fail "wrote to standard output: $*"
	test "$(wc -l <../err.$$)" = 1 || fail "not one line on standard error: $*: $(cat ../err.$$)"
	grep -qF -- "$culprit" ../err.$$ || fail "does not name \"$culprit\": $*: $(cat ../err.$$)"
	test "$(find . | sort)" = "$before" || fail "left files behind: $*"
	rm -f ../out.$$ ../err.$$
}

# succeeds COMMAND...: exit status 0; its output is in ./out, its complaints in ./err.
succeeds() {
	status=0
	"$@" >out 2>err </dev/null || status=$?
	test "$status" = 0 || fail "exit status $status: $*: $(tail -3 err)"
}

# says TEXT: the last command that succeeded printed it.
says() {
	grep -qF -- "$1" out || fail "output lacks \"$1\""
}

# value KEY FILE: the first value of that key in a JSON report, a scalar or a list of scalars, in one line.
value() {
	tr -d '\n ' <"$2" | grep -o "\"$1\":\(\[[^]]*\]\|[^,}]*\)" | head -1 | cut -d: -f2-
}
