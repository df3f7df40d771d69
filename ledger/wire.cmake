# Frames between hub and client. Pure.
add_library(ledger_wire STATIC wire.c wire_put.c)
target_link_libraries(ledger_wire PUBLIC stoa_flags ledger_codec)

# Diagnostics; an edge, for edges.
add_library(ledger_trace STATIC trace.c trace_text.c)
target_link_libraries(ledger_trace PUBLIC stoa_flags ledger_words PRIVATE Threads::Threads)
