# The sequencing core: pure, no I/O, no clock. Included by ledger/CMakeLists.txt.
add_library(ledger_slotlog STATIC
  slotlog.c
  slotlog_map.c
  slotlog_snapshot.c)
target_link_libraries(ledger_slotlog
  PUBLIC ledger_account ledger_codec crypto
  PRIVATE stoa_flags)

add_library(ledger_sequencer STATIC
  outbox.c
  sequencer.c
  sequencer_outcome.c
  sequencer_prepare.c
  sequencer_settle.c
  sequencer_submit.c)
target_link_libraries(ledger_sequencer
  PUBLIC ledger_slotlog
  PRIVATE stoa_flags)

# Start-up and reload: calls a store through its contract, links none.
add_library(ledger_recover STATIC
  recover.c
  recover_genesis.c
  recover_nodes.c)
target_link_libraries(ledger_recover
  PUBLIC ledger_sequencer
  PRIVATE stoa_flags)

# What is kept beside the log and follows from it: the core.
add_library(ledger_projection STATIC projection.c)
target_link_libraries(ledger_projection
  PUBLIC ledger_slotlog
  PRIVATE stoa_flags)
