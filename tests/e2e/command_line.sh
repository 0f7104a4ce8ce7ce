# The program's front door: help, version, commands that are not there, options that are wrong.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

succeeds "$WDMOE" --help
says "csi info"
succeeds "$WDMOE" --version
says "wdmoe "
succeeds "$WDMOE" csi --help
says "csi info"
succeeds "$WDMOE" csi info --help
says "--json"
succeeds "$WDMOE" config
says "radio.scs_hz"

# Every command has its help, with exit status 0.
"$WDMOE" --help | sed -n '/^commands/,/^$/s/^  \([a-z][a-z ]*[a-z]\)  .*/\1/p' >commands
test "$(wc -l <commands)" -ge 2 || fail "--help lists hardly any commands"
while read -r command; do
	# shellcheck disable=SC2086 # the words of the name are arguments of their own
	succeeds "$WDMOE" $command --help
	says "usage: wdmoe $command"
done <commands
rm -f commands out err

refuses "no command" "$WDMOE"
refuses "fly" "$WDMOE" fly
refuses "csi fly" "$WDMOE" csi fly
refuses "--frobnicate" "$WDMOE" csi info --frobnicate
refuses "missing argument" "$WDMOE" csi info
refuses "--json needs a value" "$WDMOE" csi info x --json
refuses "no/such/folder" "$WDMOE" csi info x --json no/such/folder/report.json
refuses "missing.wdj" "$WDMOE" csi info missing.wdj

finish
