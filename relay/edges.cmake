# What /metrics shows.
add_library(relay_metrics STATIC metrics.c metrics_process.c metrics_table.c metrics_write.c)
target_link_libraries(relay_metrics PUBLIC stoa_flags ledger_words ledger_trace)

# The hub's key files.
add_library(relay_keys STATIC keys.c)
target_link_libraries(relay_keys PUBLIC stoa_flags crypto crypto_keyfile_io ledger_words)
