# The account rules: pure, no I/O, no clock. Included by ledger/CMakeLists.txt.
add_library(ledger_account STATIC
  account.c
  account_decode.c
  account_encode.c
  apply.c
  apply_channel.c
  apply_hub.c
  apply_keys.c
  apply_member.c
  apply_recovery.c
  apply_split.c
  apply_value.c)
target_link_libraries(ledger_account
  PUBLIC ledger_codec crypto
  PRIVATE stoa_flags)
