# Without a hub: what the disk knows, and a payment that travels as a file.
. "${0%/*}/lib.sh"
hub_init
hub_start
wallet anna
wallet bo
BO=$(address bo)
accrue "$(address anna)" 50
equal "$(balance anna)" 50.00 "anna"
A="--wallet $T/anna"
hub_kill
ok stoa balance $A --offline
has '50.00 settled .* as of index'
ok stoa balance $A
says 'hub not reached'
ok stoa history $A --offline
ok stoa verify $A --offline --full
has 'inclusion not proven'
expect 69 stoa send "$BO" 5 $A
says 'safe to retry'
ok stoa sign "$BO" 5 --out "$T/pay.stoa" $A
has 'hand it in'
ok stoa balance $A --offline
has '5.00 going out'
ok stoa send "$BO" 2 --wait saved --request later $A
ok stoa send "$BO" 1 --wait saved --request never $A --json
NEVER=$(get id)
ok stoa resume "$NEVER" --drop $A
expect 69 stoa submit "$T/pay.stoa" --wallet "$T/bo"
hub_start
ok stoa submit "$T/pay.stoa" --wallet "$T/bo"
ok stoa submit "$T/pay.stoa" --wallet "$T/bo"
equal "$(balance bo)" 5.00 "bo after the file came in twice"
ok stoa resume $A
has 'nothing is open'
equal "$(balance bo)" 7.00 "bo after resume"
equal "$(balance anna)" 43.00 "anna after resume"
head -c 40 "$T/pay.stoa" >"$T/cut.stoa"
expect 65 stoa submit "$T/cut.stoa" --wallet "$T/bo"
echo "offline: good"
