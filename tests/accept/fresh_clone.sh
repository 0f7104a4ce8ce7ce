# A fresh clone: `make run` and `make test` pass, and `make run` after the build takes under 60 s.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

git clone -q "$SOURCE_DIR" clone || fail "no clone"
test -z "${WDMOE_ORACLE:-}" || mkdir -p shared
test -z "${WDMOE_ORACLE:-}" || ln -s "$WDMOE_ORACLE" shared/oracle
begin=$(date +%s)
make -C clone run >run1.log 2>&1 || fail "make run: $(tail -3 run1.log)"
built=$(date +%s)
make -C clone run >run2.log 2>&1 || fail "make run again: $(tail -3 run2.log)"
again=$(date +%s)
make -C clone test >test.log 2>&1 || fail "make test: $(tail -20 test.log)"
tested=$(date +%s)
grep -q "tests passed" test.log || fail "make test ran no tests"
test $((again - built)) -lt 60 || fail "make run took $((again - built)) s"
printf '{\n  "gate": "fresh clone",\n  "schema": 1,\n  "conditions": {"commit": "%s", "cpus": %s},\n  "figures": {"first_run_s": %s, "run_after_build_s": %s, "test_s": %s, "tests": "%s"},\n  "passed": %s\n}\n' \
	"$(git -C clone rev-parse --short HEAD)" "$(nproc)" $((built - begin)) $((again - built)) $((tested - again)) \
	"$(grep 'tests passed' test.log)" "$(test "$failures" = 0 && echo true || echo false)" | tee "$RESULT"
rm -rf clone

finish
