# Frames between hub and client. Pure.
add_library(ledger_wire STATIC wire.c wire_put.c)
target_link_libraries(ledger_wire PUBLIC stoa_flags ledger_codec)
