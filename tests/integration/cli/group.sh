# Two devices of one person, and several people in one account.
. "${0%/*}/lib.sh"
hub_init
hub_start
wallet anna
wallet bo
ANNA=$(address anna)
BO=$(address bo)
accrue "$ANNA" 100
A="--wallet $T/anna"

# A second device: it asks, the first adds it, both pay, the first ends it.
ok stoa init --wallet "$T/phone" --plaintext-keys --device-only --hub "$URL"
ok stoa device request --wallet "$T/phone"
REQUEST=$(cat "$T/out")
DEVICE=$(stoa key show --wallet "$T/phone" --json | "$STOA_JSON" device)
expect 65 stoa device add "${REQUEST}x" $A
ok stoa device add "$REQUEST" $A
ok stoa account follow "$ANNA" --name ours --wallet "$T/phone"
has own
ok stoa send "$BO" 5 --wallet "$T/phone"
ok stoa send "$BO" 6 $A
equal "$(balance bo)" 11.00 "bo, paid from two devices"
ok stoa device list $A
equal "$(wc -l <"$T/out" | tr -d ' ')" 2 "devices"
ok stoa device revoke "$DEVICE" $A --yes
expect 4 stoa send "$BO" 7 --wallet "$T/phone" --timeout 5s
ok stoa device list $A
has revoked
equal "$(balance bo)" 11.00 "bo after the revocation"

# Members: invited with a token that works once, removed again.
ok stoa member invite --ttl 1h $A
TOKEN=$(cat "$T/out")
ok stoa member join "$TOKEN" --name flat --wallet "$T/bo"
ok stoa init --wallet "$T/carla" --plaintext-keys --hub "$URL"
expect 4 stoa member join "$TOKEN" --name flat --wallet "$T/carla"
ok stoa member invite $A
echo "$(cat "$T/out")" >"$T/token"
stoa member join - --name flat --wallet "$T/carla" <"$T/token" >"$T/out" 2>"$T/err" || fail "join -"
ok stoa member list $A --json
equal "$(get members)" 3 "members"
ok stoa split 30 --equal $A --json
SPLIT=$(get id)
ok stoa member list $A --json
equal "$(get members.0.position)" 20.00 "anna's position"
equal "$(get members.1.position)" -10.00 "bo's position"
expect 4 stoa member remove 1 $A --yes
ok stoa split correct "$SPLIT" 12 --payer 1 --share 0=6 --share 1=6 --account flat --wallet "$T/bo"
ok stoa member list --account flat --wallet "$T/bo" --json
equal "$(get members.0.position)" -6.00 "anna's position after the correction"
ok stoa split void "$SPLIT" $A
ok stoa sync --wallet "$T/carla"

# Carla lost her root key: two others sign for the new one.
CARLA=$(stoa key show --wallet "$T/carla" --json | "$STOA_JSON" root)
ok stoa root propose "$CARLA" --account flat --wallet "$T/carla"
PROPOSAL=$(cat "$T/out")
ok stoa root cosign "$PROPOSAL" $A --yes
P1=$(cat "$T/out")
ok stoa root cosign "$PROPOSAL" --wallet "$T/bo" --yes
P2=$(cat "$T/out")
ok stoa root finish "$PROPOSAL" "$P1" "$P2" --wallet "$T/carla"
ok stoa member remove 1 $A --yes
ok stoa member list $A --json
equal "$(get members)" 2 "members at the end"
ok stoa verify anna $A --full
echo "group: good"
